-- Duty: put a repeating entry back, with a job for its next fire, and wake the workers that wait for it.
-- KEYS[1] base of the ledger; KEYS[2] the queue's prefix; ARGV: taker, entry id, status, note, next fire time, job id, its
-- score among the delayed ones, then fields and values that are other than before. Returns 1; 0: nothing was done.
-- @include ledger
-- @include holding
local prefix = KEYS[2]
local taker, entry_id, status, note, at, id, due = unpack(ARGV, 1, 7)
local entry = ledger_find(entry_id)
if not ledger_may_return(entry, status, taker) then
  return 0
end
local packed, held = ledger_place(entry), ledger_held(entry)
local where = packed and cmsgpack.unpack(packed)
if not where or not where.entry or redis.call('ZSCORE', prefix .. 'repeat', where.key)
  or redis.call('EXISTS', prefix .. id) == 1 then
  return 0
end
redis.call('ZADD', prefix .. 'repeat', at, where.key)
if redis.call('EXISTS', held) == 1 then
  redis.call('RENAME', held, prefix .. 'repeat:' .. where.key)
end
if redis.call('EXISTS', held .. ':job') == 1 then
  give_back(held .. ':job', prefix .. id)
end
if #ARGV > 7 then
  redis.call('HSET', prefix .. id, unpack(ARGV, 8))
end
redis.call('ZADD', prefix .. 'delayed', due, id)
dedup_restore(prefix, id, where.dedup)
local first = redis.call('ZRANGE', prefix .. 'delayed', 0, 0, 'WITHSCORES')
local wakes = string.format('%.0f', math.floor(first[2] / 4096))
if redis.call('EXISTS', prefix .. 'meta') == 1 and redis.call('HEXISTS', prefix .. 'meta', 'opts.maxLenEvents') == 1 then
  redis.call('ZADD', prefix .. 'marker', wakes, '1') -- BullMQ
else
  redis.call('PUBLISH', prefix .. 'delayed', wakes)
end
ledger_returned(entry, status, note)
return 1
