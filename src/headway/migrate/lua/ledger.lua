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

-- Returns the entries that there are, by their ids: as many calls for one as for many.
local function ledger_find_all(entry_ids)
  local found, known, numbers = {}, {}, {}
  for i, number in ipairs(#entry_ids > 0 and redis.call('HMGET', base .. ':ids', unpack(entry_ids)) or {}) do
    if number then
      known[#known + 1], numbers[#numbers + 1] = entry_ids[i], number
    end
  end
  for i, row in ipairs(#numbers > 0 and redis.call('HMGET', base .. ':rows', unpack(numbers)) or {}) do
    if row then
      local status, since, lives, taker, state = string.match(row, '^(%a)|(%d+)|(%d+)|([^|]*)|(.*)$')
      found[known[i]] = { number = numbers[i], status = status, since = since, lives = tonumber(lives), taker = taker,
        state = state }
    end
  end
  return found
end

-- Returns the entry, nil when there is none.
local function ledger_find(entry_id)
  return ledger_find_all({ entry_id })[entry_id]
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

-- What is noted is written by ledger_flush: once for all entries of a call.
local noted = { ids = {}, heads = {}, places = {}, intents = {}, rows = {}, notes = {} }
local opened, closed, anew, counted = {}, {}, {}, {}

local function ledger_add(part, field, value)
  local words = noted[part]
  words[#words + 1] = field
  words[#words + 1] = value
end

local function ledger_count(entry, by)
  local key = entry.state .. '|' .. entry.status
  counted[key] = (counted[key] or 0) + by
end

local function ledger_note(entry, status, taker)
  if entry.status then
    ledger_count(entry, -1)
  end
  entry.status, entry.taker = status, taker or entry.taker or ''
  ledger_count(entry, 1)
  ledger_add('rows', entry.number,
    status .. '|' .. now .. '|' .. string.format('%d', entry.lives) .. '|' .. entry.taker .. '|' .. entry.state)
  if status == 'T' then
    opened[#opened + 1] = now
    opened[#opened + 1] = entry.number
  else
    closed[#closed + 1] = entry.number
  end
end

-- Notes that a job is taken; the caller moves what it holds to ledger_held of the entry that this returns.
local function ledger_note_taken(entry, entry_id, head, state, place, intent, taker)
  if entry then
    if entry.status ~= 'T' and entry.state ~= state then -- counted where it is now
      ledger_count(entry, -1)
      entry.status, entry.state = nil, state
    end
    anew[#anew + 1] = entry.number
  else
    entry = { number = tostring(redis.call('INCR', base .. ':n')), lives = 0, state = state }
    ledger_add('ids', entry_id, entry.number)
  end
  ledger_add('heads', entry.number, head)
  ledger_add('places', entry.number, place)
  ledger_add('intents', entry.number, intent)
  ledger_note(entry, 'T', taker)
  return entry
end

local function ledger_flush()
  if #anew > 0 then
    redis.call('HDEL', base .. ':notes', unpack(anew))
  end
  for part, words in pairs(noted) do
    if #words > 0 then
      redis.call('HSET', base .. ':' .. part, unpack(words))
    end
    noted[part] = {}
  end
  if #opened > 0 then
    redis.call('ZADD', base .. ':open', unpack(opened))
  end
  if #closed > 0 then
    redis.call('ZREM', base .. ':open', unpack(closed))
    redis.call('HDEL', base .. ':intents', unpack(closed))
  end
  for key, by in pairs(counted) do
    if by ~= 0 then
      redis.call('HINCRBY', base .. ':counts', key, by)
    end
  end
  opened, closed, anew, counted = {}, {}, {}, {}
end

-- Notes that a job is taken, and writes it.
local function ledger_take(entry, entry_id, head, state, place, intent, taker)
  entry = ledger_note_taken(entry, entry_id, head, state, place, intent, taker)
  ledger_flush()
  return entry
end

-- Does something to many jobs, which may fail at one: what was noted until then is written all the same.
local function ledger_flush_after(act)
  local done, problem = pcall(act)
  ledger_flush()
  if not done then
    error(problem)
  end
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
  ledger_note(entry, status)
  if note ~= '' then
    ledger_add('notes', entry.number, note)
  end
  ledger_flush()
end
