-- Duty: put jobs that were taken back to where they were in a queue of BullMQ, and wake its workers.
-- KEYS[1] base of the ledger; KEYS[2] the queue's prefix; ARGV[1] who has them; then three words a job: entry id, status,
-- note.
-- Returns for each job 1, or 0 when nothing was done.
-- @include ledger
-- @include lists
-- @include holding
local prefix = KEYS[2]
local meta = prefix .. 'meta'
local paused = redis.call('HEXISTS', meta, 'paused') == 1
local version = redis.call('HGET', meta, 'version') or ''
local major = tonumber(string.match(version, ':(%d+)')) or 5

-- Version 5 keeps the jobs of a paused queue in a list of their own, and its resume would write over `wait`; version 6
-- reads both.
local function list_now()
  return prefix .. (paused and major < 6 and 'paused' or 'wait')
end

local function idle()
  if paused then
    return false
  end
  local most = tonumber(redis.call('HGET', meta, 'concurrency') or '')
  return not most or redis.call('LLEN', prefix .. 'active') < most
end

local function put(entry, where)
  local id, to = where.id, prefix .. where.place
  if where.place == 'wait' or where.place == 'paused' then
    to = list_now()
    if not (list_insert_left_of(to, id, list_before(entry.number)) or list_insert_left_of(to, id, where.right)) then
      redis.call('RPUSH', to, id)
    end
    list_note(id, entry.number)
  else
    redis.call('ZADD', to, where.score, id)
  end
  if where.place == 'delayed' then
    local first = redis.call('ZRANGE', to, 0, 0, 'WITHSCORES')
    redis.call('ZADD', prefix .. 'marker', string.format('%.0f', math.floor(first[2] / 4096)), '1')
  elseif where.place ~= 'failed' and where.place ~= 'completed' and idle() then
    redis.call('ZADD', prefix .. 'marker', 0, '0')
  end
end

local answer = {}
for i = 2, #ARGV, 3 do
  local entry = ledger_find(ARGV[i])
  answer[#answer + 1] = 0
  if ledger_may_return(entry, ARGV[i + 1], ARGV[1]) then
    local packed, held = ledger_place(entry), ledger_held(entry)
    local where = packed and cmsgpack.unpack(packed)
    if where and not where.entry and redis.call('EXISTS', held) == 1 and redis.call('EXISTS', prefix .. where.id) == 0 then
      give_back(held, prefix .. where.id)
      put(entry, where)
      dedup_restore(prefix, where.id, where.dedup)
      ledger_returned(entry, ARGV[i + 1], ARGV[i + 2])
      answer[#answer] = 1
    end
  end
end
return answer
