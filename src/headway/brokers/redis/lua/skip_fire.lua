-- Duty: a fire time is done without a job; of one in the future, all up to now. A last fire far in the future counts as none.
-- KEYS[1] prefix; ARGV[3] schedule, [4] fire time in ms. Returns 1 when it was later.
-- @include base
-- @include regardless
local last = redis.call('HGET', P .. 'fire', ARGV[3])
local fired, job = string.match(last or '', '^(%-?%d+)|(.*)$')
local MAX_AHEAD = 60000 -- headway.schedules.fires
local at = string.format('%.0f', math.min(tonumber(ARGV[4]), now))
if fired and tonumber(fired) <= now + MAX_AHEAD and tonumber(at) <= tonumber(fired) then
  return 0
end
redis.call('HSET', P .. 'fire', ARGV[3], at .. '|' .. (job or ''))
return 1
