-- Duty: take back at once all that a dead worker holds.
-- KEYS[1] prefix; ARGV[3] worker, [4] 1: all count as crashed, 0: only those in [5..]. Returns how many came back.
-- @include base
-- @include regardless
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include giveback
-- @include close
local worker = ARGV[3]
must_be_sound()
redis.call('HDEL', P .. 'hand', worker)
redis.call('HDEL', P .. 'drains', worker)
local class = redis.call('HGET', P .. 'at', worker)
if class then
  redis.call('SREM', P .. 'idle:' .. class, worker)
  redis.call('HDEL', P .. 'at', worker)
end
if redis.call('HEXISTS', P .. 'holds', worker) == 0 then
  return 0
end
local started = nil
if ARGV[4] == '0' then
  started = {}
  for i = 5, #ARGV do
    started[ARGV[i]] = true
  end
end
local runs = runs_of({ [worker] = true }, started)
give_back(runs, 'released')
redis.call('ZREM', P .. 'leases', worker)
redis.call('HDEL', P .. 'holds', worker)
close()
return #runs
