-- Duty: what every script starts with: the prefix, the instant, and calls over lists longer than Lua's stack.
-- KEYS[1] prefix of all keys of the app (one hash slot). It names no key: while a cluster moves the slot, the missing key
--         makes the server answer ASK instead of running the script on half of the data.
-- ARGV[1] now in ms, or "" for the server's clock; ARGV[2] flags: r = repeat of a call whose answer was lost, e = record events.
local P = KEYS[1]
local FLAGS = ARGV[2]
local AGAIN = string.find(FLAGS, 'r', 1, true) ~= nil
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local NOW = string.format('%.0f', now)
local SPAN = 4000 -- even, and well under the 8,000 values that unpack may put on the stack

local function variadic(command, key, list)
  for first = 1, #list, SPAN do
    redis.call(command, key, unpack(list, first, math.min(first + SPAN - 1, #list)))
  end
end

local function gather(command, key, ids)
  if #ids == 0 then
    return {}
  end
  if #ids <= SPAN then
    return redis.call(command, key, unpack(ids))
  end
  local all = {}
  for first = 1, #ids, SPAN do
    for _, value in ipairs(redis.call(command, key, unpack(ids, first, math.min(first + SPAN - 1, #ids)))) do
      all[#all + 1] = value
    end
  end
  return all
end

-- Like gather for hashes that are mostly absent: one cheap look instead of a list of misses.
local function gather_if_any(key, ids)
  if redis.call('HLEN', key) == 0 then
    return nil
  end
  return gather('HMGET', key, ids)
end
