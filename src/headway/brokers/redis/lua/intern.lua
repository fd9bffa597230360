-- Duty: give numbers to kinds (as in kinds.lua).
-- KEYS[1] prefix; ARGV[3..] texts. Returns their numbers in order.
-- hash kinds: number -> text, and 0 -> the generation of these numbers, by which clients see that theirs are of another
-- data set (emptied, or restored from an older state); hash kindof: text -> number, and "" -> the number that was given last.
-- No number is given twice, also when its kind was forgotten (forget.lua): jobs and clients may still know it.
-- @include base
local last = tonumber(redis.call('HGET', P .. 'kindof', ''))

-- Tell whether it is a number, and none that somebody else wrote; then a new one will be higher.
local function is_taken(number)
  local fine = string.find(number, '^%d+$') and #number < 16
  if fine then
    last = math.max(last, tonumber(number))
  end
  return fine
end

if not last or redis.call('HEXISTS', P .. 'kinds', '0') == 0 then
  local time = redis.call('TIME')
  if not last and redis.call('EXISTS', P .. 'kinds') == 0 and redis.call('EXISTS', P .. 'j') == 1 then
    last = tonumber(time[1]) -- jobs have numbers that are known no more: one that is given now must not be theirs
  end
  last = last or 0
  for _, number in ipairs(redis.call('HKEYS', P .. 'kinds')) do
    is_taken(number)
  end
  local left = redis.call('HGETALL', P .. 'kindof')
  for i = 1, #left, 2 do
    if is_taken(left[i + 1]) and left[i] ~= '' then
      redis.call('HSETNX', P .. 'kinds', left[i + 1], left[i])
    end
  end
  redis.call('HSET', P .. 'kindof', '', string.format('%.0f', last))
  redis.call('HSET', P .. 'kinds', '0', time[1] .. '.' .. time[2])
  -- The data set is new, or was emptied: whoever listens and is not known as idle is to claim again.
  local pattern = string.gsub(P, '[%*%?%[%]\\]', '\\%0') .. 'ch:w:*'
  for _, channel in ipairs(redis.pcall('PUBSUB', 'CHANNELS', pattern)) do
    if redis.call('HEXISTS', P .. 'at', string.sub(channel, #P + #'ch:w:' + 1)) == 0 then
      redis.pcall('PUBLISH', channel, 'W')
    end
  end
end

local numbers = {}
for i = 3, #ARGV do
  local text = ARGV[i]
  local number = redis.call('HGET', P .. 'kindof', text)
  if not number or redis.call('HGET', P .. 'kinds', number) ~= text then
    repeat -- a Headway of before counts without the number given last
      last = last + 1
      number = string.format('%.0f', last)
    until redis.call('HSETNX', P .. 'kinds', number, text) == 1
    redis.call('HSET', P .. 'kindof', '', number, text, number)
  end
  numbers[#numbers + 1] = number
end
return numbers
