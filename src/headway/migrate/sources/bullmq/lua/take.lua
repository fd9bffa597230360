-- Duty: take jobs out of a queue of BullMQ and into the ledger, each whole or not at all.
-- KEYS[1] base of the ledger; KEYS[2] the queue's prefix; ARGV[1] taker; then ten words a job: entry id, head, state, intent,
-- id, place (the name of its list or set), score there, seal, deduplication id, whether its key goes on to hold.
-- Returns for each job, as far as they fit into one call: -1 not taken, -2 it may be beyond reach in its
-- list, else how often it was put back before.
-- @include ledger
-- @include job
-- @include lists
-- @include holding
local WORK = 2000 -- entries of lists walked through in one call, before the last one
local BYTES = 262144 -- of jobs read by one call, but for a first one that is larger
local LISTS = { wait = true, paused = true }
local SETS = { delayed = true, prioritized = true, failed = true, completed = true }
local prefix, taker = KEYS[2], ARGV[1]
local answer, work = {}, 0
local returned = redis.call('EXISTS', base .. ':back') == 1

local function belongs_to_entry(id, entry)
  if entry == '' or redis.call('TYPE', prefix .. 'repeat').ok ~= 'zset' then
    return false
  end
  local score = redis.call('ZSCORE', prefix .. 'repeat', entry)
  return score and string.sub(id, -#score - 1) == ':' .. score
end

local entries = {}
for i = 2, #ARGV, 10 do
  entries[#entries + 1] = ARGV[i]
end
entries = ledger_find_all(entries)

local function take(weight, entry_id, head, state, intent, id, place, score, seal, deid, keep)
  local entry = entries[entry_id]
  local may = ledger_may_take(entry, taker)
  if may ~= 'yes' then
    return may == 'again' and entry.lives or -1
  end
  if not weight then
    return -1
  end
  local key, from = prefix .. id, prefix .. place
  local alone = beside(key) == 0
  if not alone and redis.call('EXISTS', key .. ':lock') == 1 then
    return -1
  end
  local found, size, data = job_read(key, weight)
  if job_seal(key, found, size, data) ~= seal or belongs_to_entry(id, found[12]) then
    return -1
  end
  if found[11] ~= '' and redis.call('EXISTS', prefix .. 'dn:' .. found[11]) == 1 then
    return -1
  end
  if not alone and redis.call('TYPE', key .. ':dependencies').ok == 'set' then
    return -1 -- it waits for children, or will
  end
  local where = { id = id, place = place, score = score }
  if LISTS[place] then
    local right, walked = list_take(from, id)
    work = work + walked
    if not right then
      return list_is_long(from) and -2 or -1
    end
    where.right = right
  elseif SETS[place] then
    if redis.call('TYPE', from).ok ~= 'zset' or redis.call('ZSCORE', from, id) ~= score then
      return -1
    end
    redis.call('ZREM', from, id)
  else
    return -1
  end
  where.dedup = dedup_release(prefix, id, deid, keep)
  if returned then
    redis.call('ZREM', base .. ':back', id)
  end
  entry = ledger_note_taken(entry, entry_id, head, state, cmsgpack.pack(where), intent, taker)
  entries[entry_id] = entry
  hold(key, ledger_held(entry), alone)
  return entry.lives
end

local bytes = 0
ledger_flush_after(function()
  for i = 2, #ARGV, 10 do
    local weight = job_weight(prefix .. ARGV[i + 4])
    bytes = bytes + (weight or 0)
    if i > 2 and (work > WORK or bytes > BYTES) then
      break
    end
    answer[#answer + 1] = take(weight, unpack(ARGV, i, i + 9))
  end
end)
return answer
