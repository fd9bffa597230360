-- Duty: the schedules, and the workers that hold jobs, at one instant.
-- KEYS[1] prefix. Returns { schedules (flat), paused ones, last fires (flat), leases with expiry (flat), holds (flat) }.
-- @include base
return {
  redis.call('HGETALL', P .. 'sch'),
  redis.call('SMEMBERS', P .. 'sch:paused'),
  redis.call('HGETALL', P .. 'fire'),
  redis.call('ZRANGE', P .. 'leases', 0, -1, 'WITHSCORES'),
  redis.call('HGETALL', P .. 'holds'),
}
