-- Duty: take the lease of a name, extend it, or end it.
-- KEYS[1] prefix; ARGV[3] name, [4] holder, [5] how many ms it lasts. To end it: [5] 0, [6] its token.
-- Returns its token; 0 while somebody else holds it, or when there was nothing to end.
-- @include base
-- @include sound
-- @include control
local name, holder, lasts = ARGV[3], ARGV[4], tonumber(ARGV[5])
local held, token = holder_of(name)
if lasts == 0 then
  if held ~= ARGV[6] .. '|' .. holder then
    return 0
  end
elseif not held then
  token = token + 1
elseif held ~= string.format('%.0f|', token) .. holder then
  return 0
end
redis.call('HSET', P .. 'control', name, string.format('%.0f|%.0f|', token, lasts > 0 and now + lasts or 0) .. holder)
return token
