-- Duty: pause (1) or resume (0) a schedule. KEYS[1] prefix; ARGV[3] name, [4] 1 or 0. Returns 0 when there is no such schedule.
-- @include base
-- @include regardless
if redis.call('HEXISTS', P .. 'sch', ARGV[3]) == 0 then
  return 0
end
redis.call(ARGV[4] == '1' and 'SADD' or 'SREM', P .. 'sch:paused', ARGV[3])
return 1
