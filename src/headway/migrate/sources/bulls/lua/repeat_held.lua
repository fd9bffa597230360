-- Duty: what the ledger holds of a repeating entry. KEYS[1] base; ARGV[1] entry id. Returns {} when there is none, else where
-- it was (MessagePack), the fields of its hash, and those of its job.
-- @include ledger
local entry = ledger_find(ARGV[1])
local packed = entry and ledger_place(entry)
if not packed then
  return {}
end
local held = ledger_held(entry)
return { packed, redis.call('HGETALL', held), redis.call('HGETALL', held .. ':job') }
