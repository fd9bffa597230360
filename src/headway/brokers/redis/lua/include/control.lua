-- Duty: the present version of a control document, and who holds the lease of a name.
-- hash control: name of a lease -> token|until|holder. An entry stays when its lease is over: the next token must be higher.
local function present_version(name)
  must_hold('list', 'control:' .. name)
  local text = redis.call('LINDEX', P .. 'control:' .. name, 0)
  local version = text and string.match(text, '^(%d+)|%d+|')
  if text and not version then
    error('WRONGTYPE of key ' .. P .. 'control:' .. name .. ': it holds no control document', 0)
  end
  return tonumber(version) or 0
end

-- Return token|holder of the lease, nil when nobody holds it; and the last token.
local function holder_of(name)
  must_hold('hash', 'control')
  local token, till, holder = string.match(redis.call('HGET', P .. 'control', name) or '0|0|', '^(%d+)|(%d+)|(.*)$')
  return token and tonumber(till) > now and token .. '|' .. holder or nil, tonumber(token) or 0
end
