-- Duty: extend the leases of workers that still have one. A lease that ran out stays lost, reclaimed or not.
-- And wake an idle worker where jobs are ready: those that were woken before may be unable to hear, as long as a handler
-- blocks them. One that is blocked has a supervisor, and its heartbeats go on: so this is called then.
-- KEYS[1] prefix; ARGV[3] lease ms, [4..] workers. Returns 1 (held) or 0 for each, then now.
-- @include base
-- @include regardless
-- @include wake
-- @include jump
local held = {}
local first = tonumber(redis.call('ZRANGE', P .. 'leases', 0, 0, 'WITHSCORES')[2])
if first and first <= now then
  spare_leases()
end
for i = 4, #ARGV do
  local till = tonumber(redis.call('ZSCORE', P .. 'leases', ARGV[i]) or '0')
  held[#held + 1] = till > now and 1 or 0
  if till > now then
    redis.call('ZADD', P .. 'leases', string.format('%.0f', now + ARGV[3]), ARGV[i])
  end
end
if redis.call('EXISTS', P .. 'live') == 1 and somebody_idles() then
  wake_for(ready_queues())
end
held[#held + 1] = now
return held
