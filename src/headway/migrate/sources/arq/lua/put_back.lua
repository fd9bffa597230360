-- Duty: put jobs back where they were, each in one step with its entry.
-- KEYS[1] base of the ledger, [2] queue; ARGV[1] who puts back, then: entry id, the job's
-- id, status, note, and so on. Returns 1 for each that is back, 0 where the entry is in no status for it, or another job has the id
-- by now.
-- @include ledger
local queue = KEYS[2]

local function restore(key, ttl)
  if ttl >= 0 then
    redis.call('PEXPIRE', key, math.max(ttl, 1))
  end
end

local function put_back(entry, id, status, note)
  local key, held = 'arq:job:' .. id, ledger_held(entry)
  if redis.call('EXISTS', key) == 1 or redis.call('ZSCORE', queue, id) or redis.call('EXISTS', held) == 0 then
    return 0
  end
  local score, kept, attempts, attempts_kept = string.match(ledger_place(entry), '^([^|]+)|(-?%d+)|(%d*)|(-?%d+)$')
  redis.call('RENAME', held, key)
  restore(key, tonumber(kept))
  if attempts ~= '' then
    redis.call('SET', 'arq:retry:' .. id, attempts)
    restore('arq:retry:' .. id, tonumber(attempts_kept))
  end
  redis.call('ZADD', queue, score, id)
  ledger_returned(entry, status, note)
  return 1
end

local done = {}
for at = 2, #ARGV, 4 do
  local entry = ledger_find(ARGV[at])
  done[#done + 1] = ledger_may_return(entry, ARGV[at + 2], ARGV[1])
    and put_back(entry, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]) or 0
end
return done
