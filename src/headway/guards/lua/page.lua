-- Duty: entries of some kinds, the last keys first.
-- ARGV: now, where to begin (+ or an opening parenthesis and a key), how many at most, how many keys may be looked at,
-- how many groups follow (-1: all that do not begin with a colon) and the groups, how many tags follow (-1: all) and the tags.
-- Returns where to go on when the look was broken off, else the empty text; then the values.
-- @include base
local now, from, limit, looks = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local place = 5

local function set()
  local size = tonumber(ARGV[place])
  local wanted = {}
  for i = 1, size do
    wanted[ARGV[place + i]] = true
  end
  place = place + 1 + math.max(size, 0)
  return size >= 0 and wanted or nil
end

local groups, tags = set(), set()

local function wants(kind)
  local group, tag = string.match(kind, '^([^/]*)/(.*)$')
  if not group then
    return false -- damaged
  end
  if groups then
    if not groups[group] then
      return false
    end
  elseif string.sub(group, 1, 3) == '%3A' then
    return false
  end
  return not tags or tags[tag] ~= nil
end

local answer = { '' }
while limit > 0 do
  local names = redis.call('ZREVRANGEBYLEX', NAMES, from, '-', 'LIMIT', 0, 100)
  if #names == 0 then
    return answer
  end
  local values = redis.call('HMGET', ENTRIES, unpack(names))
  for i, value in ipairs(values) do
    local _, forget, kind = parts(value or '')
    if alive(forget, now) and wants(kind) then
      answer[#answer + 1] = value
      limit = limit - 1
      if limit == 0 then
        return answer
      end
    end
  end
  from = '(' .. names[#names]
  looks = looks - #names
  if looks <= 0 then
    answer[1] = from
    return answer
  end
end
return answer
