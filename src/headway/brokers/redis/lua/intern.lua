-- Duty: give numbers to kinds (as in kinds.lua).
-- KEYS[1] prefix; ARGV[3..] texts. Returns their numbers in order.
-- hash kinds: number -> text, and 0 -> the generation of these numbers, by which clients see that theirs are of another
-- data set (emptied, or restored from an older state); hash kindof: text -> number.
-- @include base
local numbers = {}
if redis.call('HEXISTS', P .. 'kinds', '0') == 0 then
  local time = redis.call('TIME')
  redis.call('HSET', P .. 'kinds', '0', time[1] .. '.' .. time[2])
  -- The data set is new, or was emptied: who idles is known no more, so all who listen are to claim again.
  local pattern = string.gsub(P, '[%*%?%[%]\\]', '\\%0') .. 'ch:w:*'
  for _, channel in ipairs(redis.pcall('PUBSUB', 'CHANNELS', pattern)) do
    redis.pcall('PUBLISH', channel, 'W')
  end
end
for i = 3, #ARGV do
  local number = redis.call('HGET', P .. 'kindof', ARGV[i])
  if not number then
    number = tostring(redis.call('HLEN', P .. 'kinds'))
    redis.call('HSET', P .. 'kinds', number, ARGV[i])
    redis.call('HSET', P .. 'kindof', ARGV[i], number)
  end
  numbers[#numbers + 1] = number
end
return numbers
