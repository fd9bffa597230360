-- Duty: members of a sorted set behind one that was read before, in its order, also when that one is gone.
-- KEYS[1] the set; ARGV[1] score and ARGV[2] member that were read last ('' before the first), ARGV[3] how many.
-- Returns member, score, member, score ...
local key, last, many = KEYS[1], ARGV[2], tonumber(ARGV[3])

-- The server's own order is by bytes; Lua's would be by the locale.
local function before(left, right)
  for i = 1, math.min(#left, #right) do
    local a, b = string.byte(left, i), string.byte(right, i)
    if a ~= b then
      return a < b
    end
  end
  return #left < #right
end

local from = 0
if ARGV[1] ~= '' then
  -- Those of one score may be a million: the place is found by halving.
  from = redis.call('ZCOUNT', key, '-inf', '(' .. ARGV[1])
  local beyond = from + redis.call('ZCOUNT', key, ARGV[1], ARGV[1])
  while from < beyond do
    local middle = math.floor((from + beyond) / 2)
    local member = redis.call('ZRANGE', key, middle, middle)[1]
    if before(last, member) then
      beyond = middle
    else
      from = middle + 1
    end
  end
end
return redis.call('ZRANGE', key, from, from + many - 1, 'WITHSCORES')
