-- Duty: the ledger of one queue of a source. KEYS[1] is its base; with the words of ledger.py:
--   base:n        how many entries were ever made
--   base:ids      entry id -> number
--   base:heads    number -> what never changes, encoded by the client
--   base:rows     number -> status|since ms|lives|taker|state
--   base:places   number -> where the job was, in the source's own words
--   base:intents  number -> what is to be enqueued; only while it is taken
--   base:notes    number -> words
--   base:open     numbers of the taken ones, by since ms
--   base:counts   state|status -> how many
--   base:held:<number>, and what begins so: what is kept of the job, by the source
-- Status: T taken, E enqueued, F refused, V reverted.
local base = KEYS[1]
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))

-- Returns the entry, nil when there is none.
local function ledger_find(entry_id)
  local number = redis.call('HGET', base .. ':ids', entry_id)
  local row = number and redis.call('HGET', base .. ':rows', number)
  if not row then
    return nil
  end
  local status, since, lives, taker, state = string.match(row, '^(%a)|(%d+)|(%d+)|([^|]*)|(.*)$')
  return { number = number, status = status, since = since, lives = tonumber(lives), taker = taker, state = state }
end

local function ledger_held(entry, suffix)
  return base .. ':held:' .. entry.number .. (suffix or '')
end

local function ledger_place(entry)
  return redis.call('HGET', base .. ':places', entry.number)
end

-- Whether a job may leave the source now. 'again': this very taker has taken it, its answer was lost.
local function ledger_may_take(entry, taker)
  if not entry or entry.status == 'F' or entry.status == 'V' then
    return 'yes'
  end
  return entry.status == 'T' and entry.taker == taker and 'again' or 'no'
end

local function ledger_write(entry, status, taker)
  if entry.status then
    redis.call('HINCRBY', base .. ':counts', entry.state .. '|' .. entry.status, -1)
  end
  redis.call('HINCRBY', base .. ':counts', entry.state .. '|' .. status, 1)
  entry.status, entry.taker = status, taker or entry.taker or ''
  redis.call('HSET', base .. ':rows', entry.number,
    status .. '|' .. now .. '|' .. string.format('%d', entry.lives) .. '|' .. entry.taker .. '|' .. entry.state)
  if status == 'T' then
    redis.call('ZADD', base .. ':open', now, entry.number)
  else
    redis.call('ZREM', base .. ':open', entry.number)
    redis.call('HDEL', base .. ':intents', entry.number)
  end
end

-- Notes that a job is taken; the caller moves what it holds to ledger_held of the entry that this returns.
local function ledger_take(entry, entry_id, head, state, place, intent, taker)
  if entry then
    if entry.status ~= 'T' and entry.state ~= state then -- counted where it is now
      redis.call('HINCRBY', base .. ':counts', entry.state .. '|' .. entry.status, -1)
      entry.status, entry.state = nil, state
    end
  else
    entry = { number = tostring(redis.call('INCR', base .. ':n')), lives = 0, state = state }
    redis.call('HSET', base .. ':ids', entry_id, entry.number)
  end
  redis.call('HSET', base .. ':heads', entry.number, head)
  redis.call('HSET', base .. ':places', entry.number, place)
  redis.call('HSET', base .. ':intents', entry.number, intent)
  redis.call('HDEL', base .. ':notes', entry.number)
  ledger_write(entry, 'T', taker)
  return entry
end

-- Whether an entry may go back under this status: one that is on its way only by whom it is with.
local function ledger_may_return(entry, status, taker)
  if not entry then
    return false
  end
  return entry.status == 'T' and entry.taker == taker or entry.status == 'E' and status == 'V'
end

local function ledger_returned(entry, status, note)
  entry.lives = entry.lives + 1
  redis.call('HDEL', base .. ':places', entry.number)
  ledger_write(entry, status)
  if note ~= '' then
    redis.call('HSET', base .. ':notes', entry.number, note)
  end
end
