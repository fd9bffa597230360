-- Duty: what has become due: leases that ran out, scheduled jobs, expired jobs. Bounded; `more` when something was left.
local BOUND = 1000

local function head(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return tonumber(first[2]) or math.huge
end

local function reclaim_due()
  local dead = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW)
  if #dead == 0 then
    return 0
  end
  local set = {}
  for _, worker in ipairs(dead) do
    set[worker] = true
  end
  local runs = runs_of(set, nil)
  give_back(runs, 'reclaimed')
  variadic('ZREM', P .. 'leases', dead)
  variadic('HDEL', P .. 'holds', dead)
  variadic('HDEL', P .. 'hand', dead)
  for _, worker in ipairs(dead) do
    redis.pcall('PUBLISH', P .. 'ch:w:' .. worker, 'L')
  end
  return #runs
end

local function promote_due()
  local ids = redis.call('ZRANGEBYSCORE', P .. 'sched', '-inf', NOW, 'LIMIT', 0, BOUND)
  if #ids == 0 then
    return 0
  end
  local lists, order = {}, {}
  for i, text in ipairs(gather('HMGET', P .. 'm', ids)) do
    local job = text and parse_header(text) or fresh_header(redis.call('HGET', P .. 'j', ids[i]))
    local known = job and kind_of(job.kind)
    if job then
      count('D', job.kind, -1)
    end
    if known then
      if not lists[known.list] then
        must_take(known.list)
        lists[known.list] = {}
        order[#order + 1] = known.list
      end
      table.insert(lists[known.list], ids[i])
    elseif job then
      finish(ids[i], 'F', job, '', 'its kind number is unknown: the record is damaged', '')
    end
  end
  variadic('ZREM', P .. 'sched', ids)
  for _, list in ipairs(order) do
    push_tail(list, lists[list])
  end
  return #ids
end

local function expire_due()
  local ids = redis.call('ZRANGEBYSCORE', P .. 'exp', '-inf', NOW, 'LIMIT', 0, BOUND)
  for _, id in ipairs(ids) do
    redis.call('ZREM', P .. 'exp', id)
    local job = find(id)
    if job and (job.state == 'D' or job.state == 'Q') then
      finish_waiting(id, job, 'X', '')
    end
  end
  return #ids
end

-- Expiry first: a job that is both due and overdue must not be handed out.
local function maintain()
  local did = { reclaimed = 0, promoted = 0, expired = 0 }
  local due = head(P .. 'sched')
  local expiry = head(P .. 'exp')
  local lease = head(P .. 'leases')
  if math.min(due, expiry, lease) <= now then
    must_be_sound()
  end
  if lease <= now and spare_leases() then
    lease = head(P .. 'leases')
  end
  if lease <= now then
    did.reclaimed = reclaim_due()
    expiry = head(P .. 'exp')
  end
  if expiry <= now then
    did.expired = expire_due()
    write_finished()
    expiry = head(P .. 'exp')
  end
  if due <= now then
    did.promoted = promote_due()
  end
  if did.reclaimed + did.promoted + did.expired > 0 then
    write_finished()
    due = head(P .. 'sched')
    lease = head(P .. 'leases')
  end
  did.due, did.expiry, did.lease = due, expiry, lease
  return did
end
