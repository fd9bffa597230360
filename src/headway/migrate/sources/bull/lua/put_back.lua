-- Duty: put jobs that were taken back to where they were in a queue of Bull, and wake its workers.
-- KEYS[1] base of the ledger; KEYS[2] the queue's prefix; ARGV[1] who has them; then three words a job: entry id, status,
-- note.
-- Returns for each job 1, or 0 when nothing was done.
-- @include ledger
-- @include lists
-- @include holding
local prefix = KEYS[2]
local ranks = prefix .. 'priority'

-- Inserts a job to the left of another one, and of those that come before it by their priority: Bull counts on that order.
local function insert_left_of(to, id, other, rank)
  local at = other ~= '' and (redis.call('LPOS', to, other, 'RANK', -1, 'MAXLEN', NEAR)
    or redis.call('LPOS', to, other, 'MAXLEN', NEAR))
  if not at then
    return false
  end
  for _ = 1, NEAR do
    local left = at > 0 and redis.call('LINDEX', to, at - 1)
    local before = left and redis.call('ZSCORE', ranks, left)
    if not before or rank and tonumber(before) >= tonumber(rank) then
      break
    end
    at = at - 1
  end
  return list_insert_left_of(to, id, redis.call('LINDEX', to, at))
end

-- Those with a priority lie at the right end, in order: a job without one belongs to the left of them.
local function put_into_list(entry, where)
  local id, rank = where.id, where.priority
  local to = prefix .. (redis.call('EXISTS', prefix .. 'meta-paused') == 1 and 'paused' or 'wait')
  local depth = rank and redis.call('ZCOUNT', ranks, '-inf', '(' .. rank) or redis.call('ZCARD', ranks)
  if where.right == '' and not rank then
    depth = 0 -- it was the very next
  end
  local placed = insert_left_of(to, id, list_before(entry.number), rank) or insert_left_of(to, id, where.right, rank)
  if not placed then
    list_insert_at(to, id, math.min(depth, NEAR, redis.call('LLEN', to)))
  end
  if rank then
    redis.call('ZADD', ranks, rank, id)
  end
  list_note(id, entry.number)
end

local function put(entry, where)
  if where.place == 'wait' or where.place == 'paused' then
    put_into_list(entry, where)
    return
  end
  redis.call('ZADD', prefix .. where.place, where.score, where.id)
  if where.place == 'delayed' then
    redis.call('PUBLISH', prefix .. 'delayed', string.format('%.0f', math.floor(where.score / 4096)))
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
