-- Duty: take a repeating entry out of a queue and into the ledger, with the job of its next fire if that waits for its time.
-- Such a job that is due already stays: it is one like others from then on, and makes no further one.
-- KEYS[1] base of the ledger; KEYS[2] the queue's prefix; ARGV: taker, entry id, head, intent, key, score, seal, job id ('':
-- there is none), its score among the delayed ones ('': it is not there), its seal. Returns -1: not taken, else its lives.
-- @include ledger
-- @include job
-- @include entry
-- @include holding
local prefix = KEYS[2]
local taker, entry_id, head, intent, key, score, seal, id, due, job_sealed = unpack(ARGV)
local entry = ledger_find(entry_id)
local may = ledger_may_take(entry, taker)
-- One that is enqueued and is here again: a producer that knows of nothing has added it anew when it was started.
local anew = entry and entry.status == 'E'
if may ~= 'yes' and not anew then
  return may == 'again' and entry.lives or -1
end
local all, delayed, job = prefix .. 'repeat', prefix .. 'delayed', prefix .. id
if redis.call('TYPE', all).ok ~= 'zset' or redis.call('ZSCORE', all, key) ~= score
  or entry_seal(entry_read(prefix, key)) ~= seal then
  return -1
end
local found, size
if id ~= '' then
  local weight = job_weight(job)
  if not weight then
    return -1
  end
  found, size = job_read(job, weight)
  if redis.call('EXISTS', job .. ':lock') == 1 or job_seal(job, found, size) ~= job_sealed
    or (redis.call('ZSCORE', delayed, id) or '') ~= due then
    return -1
  end
  local active = prefix .. 'active'
  if redis.call('TYPE', active).ok == 'list' and redis.call('LPOS', active, id, 'MAXLEN', 10000) then
    return -1 -- a worker is about to make the next one
  end
end
local where = { entry = true, key = key, score = score, id = id, due = due }
if due ~= '' then
  where.dedup = dedup_release(prefix, id, found[11], '0')
end
entry = ledger_take(entry, entry_id, head, 'delayed', cmsgpack.pack(where), intent, taker)
local held = ledger_held(entry)
redis.call('UNLINK', held, held .. ':job')
redis.call('ZREM', all, key)
if redis.call('EXISTS', prefix .. 'repeat:' .. key) == 1 then
  redis.call('RENAME', prefix .. 'repeat:' .. key, held)
end
if due ~= '' then
  redis.call('ZREM', delayed, id)
  hold(job, held .. ':job')
elseif id ~= '' then -- a copy, by which the next one can be made when the entry comes back
  redis.call('HSET', held .. ':job', 'name', found[1], 'opts', found[2], 'data', redis.call('HGET', job, 'data') or '{}')
end
return entry.lives
