-- Duty: a fire time is done without a job. KEYS[1] prefix; ARGV[3] schedule, [4] fire time in ms. Returns 1 when it was later.
-- @include base
-- @include regardless
local last = redis.call('HGET', P .. 'fire', ARGV[3])
local fired, job = string.match(last or '', '^(%-?%d+)|(.*)$')
if fired and tonumber(ARGV[4]) <= tonumber(fired) then
  return 0
end
redis.call('HSET', P .. 'fire', ARGV[3], ARGV[4] .. '|' .. (job or ''))
return 1
