-- Duty: hand out jobs of a queue again. KEYS[1] prefix; ARGV[3] queue.
-- @include base
-- @include regardless
-- @include wake
-- @include ready
if redis.call('SREM', P .. 'paused', ARGV[3]) == 1 then
  wake(ARGV[3])
end
return 1
