-- Duty: read the next jobs of a queue, in the order of their due times, without changing anything.
-- KEYS[1] queue; ARGV: score and id behind which it begins ('-inf' and '' for the first), most jobs, most bytes of one
-- job, most bytes in all. Returns the time in ms, then for each job: id, score, 1 where it runs, bytes of its data
-- (-1: none, -2: it is something else), the data ('' where it is too large), attempts made or '', ms it is kept yet
-- (-1: for ever), 1 where it is to be aborted.
local queue, score, member = KEYS[1], ARGV[1], ARGV[2]
local most, most_one, most_all = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function comes_behind(one, other) -- as the server sorts; Lua's own < goes by the locale
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a > b
    end
  end
  return #one > #other
end

local first = 0
if member ~= '' then
  -- The job itself may be gone: look where it would stand among those of the same score.
  local low, high = redis.call('ZCOUNT', queue, '-inf', '(' .. score), redis.call('ZCOUNT', queue, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = redis.call('ZRANGE', queue, middle, middle)[1]
    if comes_behind(there, member) then
      high = middle
    else
      low = middle + 1
    end
  end
  first = low
elseif score ~= '-inf' then
  first = redis.call('ZCOUNT', queue, '-inf', '(' .. score)
end

local clock = redis.call('TIME')
local found = { string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)) }
local rows = redis.call('ZRANGE', queue, first, first + most - 1, 'WITHSCORES')
if #rows == 0 then
  return found
end
local running, retries = {}, {}
for i = 1, #rows, 2 do
  running[#running + 1] = 'arq:in-progress:' .. rows[i]
  retries[#retries + 1] = 'arq:retry:' .. rows[i]
end
running, retries = redis.call('MGET', unpack(running)), redis.call('MGET', unpack(retries))
local aborts = redis.call('TYPE', 'arq:abort').ok == 'zset'
local bytes = 0
for i = 1, #rows, 2 do
  local id, n = rows[i], (i + 1) / 2
  local key = 'arq:job:' .. id
  local size, data = redis.pcall('STRLEN', key), ''
  if type(size) ~= 'number' then
    size = -2
  elseif size == 0 then
    size = -1
  elseif size <= most_one then
    if i > 1 and bytes + size > most_all then
      break
    end
    data = redis.call('GET', key)
    bytes = bytes + size
  end
  found[#found + 1] = id
  found[#found + 1] = rows[i + 1]
  found[#found + 1] = running[n] and 1 or 0
  found[#found + 1] = size
  found[#found + 1] = data
  found[#found + 1] = retries[n] or ''
  found[#found + 1] = redis.call('PTTL', key)
  found[#found + 1] = aborts and redis.call('ZSCORE', 'arq:abort', id) and 1 or 0
end
return found
