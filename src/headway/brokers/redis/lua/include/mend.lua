-- Duty: find jobs that are nowhere, and put them back where they belong. No script leaves one behind; somebody who deletes or
-- overwrites a key does, and so does a server that lost its last writes.
-- Every job that is known stands in exactly one place, so a sum tells whether one is missing; only then it is looked for.
-- hash mend: cursor (how far hash j has been read), found (how many were put back by this reading),
--            left (how many the sum was off after the last reading, which found no more).
local FEW = 50000 -- ready jobs, up to which their lists are read to see who is missing; of a longer backlog once it is shorter
local PAGES, PAGE = 4, 1000
local MERCY = 30000 -- ms: a worker that runs jobs and has no lease gets one so long; if it lives it keeps it

local function known_nowhere()
  local listed = 0
  for _, list in ipairs(redis.call('SMEMBERS', P .. 'live')) do
    listed = listed + redis.call('LLEN', P .. 'r:' .. list)
  end
  for _, void in ipairs(redis.call('HVALS', P .. 'tombs')) do
    listed = listed - void
  end
  return redis.call('HLEN', P .. 'j') - redis.call('HLEN', P .. 'run') - redis.call('HLEN', P .. 'done')
    - redis.call('ZCARD', P .. 'sched') - listed, listed
end

-- Lists that hold jobs and that nobody looks at.
local function list_again()
  local all = redis.call('HGETALL', P .. 'kinds')
  for i = 1, #all, 2 do
    local known = all[i] ~= '0' and kind_of(all[i])
    if known and redis.call('EXISTS', P .. 'r:' .. known.list) == 1 then
      must_take(known.list)
      if redis.call('SADD', P .. 'live', known.list) == 1 then
        wake_queues[known.queue] = true
      end
    end
  end
end

local function put_where_it_belongs(id)
  local job = find(id)
  local known = job and kind_of(job.kind)
  local key = redis.call('HGET', P .. 'uof', id)
  local due = job and tonumber(job.due)
  if not known then
    finish(id, 'F', job or { kind = '0', epoch = '0', attempt = '0', crashes = '0', due = '', expires = '', started = '', history = '' },
      '', 'its record cannot be read: the stored bytes are damaged', '')
  elseif key and redis.call('HGET', P .. 'uh', key) == id then
    redis.call('ZADD', P .. 'sched', '+inf', id)
  elseif due and due > now then
    redis.call('ZADD', P .. 'sched', job.due, id)
  else
    must_take(known.list)
    push_tail(known.list, { id })
  end
  if known and job.expires ~= '' then
    redis.call('ZADD', P .. 'exp', job.expires, id)
  end
end

-- Those of a page of ids that stand nowhere.
local function nowhere(ids, ready)
  local done, run = gather('HMGET', P .. 'done', ids), gather('HMGET', P .. 'run', ids)
  local due = gather('ZMSCORE', P .. 'sched', ids)
  local missing = {}
  for i, id in ipairs(ids) do
    if not (done[i] or run[i] or due[i] or ready[id]) then
      missing[#missing + 1] = id
    end
  end
  return missing
end

local function read_on(lists)
  local ready = {}
  for _, list in ipairs(lists) do
    for _, id in ipairs(redis.call('LRANGE', P .. 'r:' .. list, 0, -1)) do
      ready[id] = true
    end
  end
  local cursor, found = redis.call('HGET', P .. 'mend', 'cursor') or '0', 0
  for _ = 1, PAGES do
    local page = redis.call('HSCAN', P .. 'j', cursor, 'COUNT', PAGE)
    local ids = {}
    for i = 1, #page[2], 2 do
      ids[#ids + 1] = page[2][i]
    end
    for _, id in ipairs(nowhere(ids, ready)) do
      ready[id] = true
      put_where_it_belongs(id)
      found = found + 1
    end
    cursor = page[1]
    if cursor == '0' then
      break
    end
  end
  return cursor, found
end

-- How many are scheduled is counted beside the jobs; count anew.
local function count_scheduled()
  local counted, all = 0, redis.call('HGETALL', P .. 'n')
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'D:' then
      counted = counted + all[i + 1]
    end
  end
  local size = redis.call('ZCARD', P .. 'sched')
  if counted == size or size > FEW then
    return
  end
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'D:' then
      redis.call('HDEL', P .. 'n', all[i])
    end
  end
  for _, blob in ipairs(gather('HMGET', P .. 'j', redis.call('ZRANGE', P .. 'sched', 0, -1))) do
    local kind = blob and string.match(blob, '^(%d+):')
    if kind then
      count('D', kind, 1)
    end
  end
end

-- Who runs how many, by the records of the running jobs.
local function count_running()
  local held, leased = 0, redis.call('HLEN', P .. 'holds') == redis.call('ZCARD', P .. 'leases')
  for _, some in ipairs(redis.call('HVALS', P .. 'holds')) do
    held = held + (tonumber(some) or 0)
  end
  if held == redis.call('HLEN', P .. 'run') and leased then
    return 0
  end
  local all, holds, found = redis.call('HGETALL', P .. 'run'), {}, 0
  for i = 1, #all, 2 do
    local run = parse_run(all[i + 1])
    if run then
      holds[run.worker] = (holds[run.worker] or 0) + 1
    else
      redis.call('HDEL', P .. 'run', all[i])
      put_where_it_belongs(all[i])
      found = found + 1
    end
  end
  redis.call('DEL', P .. 'holds')
  for worker, some in pairs(holds) do
    redis.call('HSET', P .. 'holds', worker, some)
    if redis.call('ZADD', P .. 'leases', 'NX', string.format('%.0f', now + MERCY), worker) == 1 then
      found = found + some
    end
  end
  for _, worker in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
    if not holds[worker] then
      redis.call('ZREM', P .. 'leases', worker)
    end
  end
  return found
end

-- One bounded round. Return how many jobs were put back, and whether there is more to read.
local function mend()
  local found = count_running()
  local off, listed = known_nowhere()
  local left = redis.call('HGET', P .. 'mend', 'left')
  if off <= 0 or left == tostring(off) then
    if left and off <= 0 then
      redis.call('DEL', P .. 'mend')
    end
    return found, false
  end
  list_again()
  off, listed = known_nowhere()
  if listed > FEW then
    return found, false
  end
  local cursor, some = '0', 0
  if off > 0 then
    cursor, some = read_on(redis.call('SMEMBERS', P .. 'live'))
    write_finished()
  end
  if cursor ~= '0' then
    redis.call('HSET', P .. 'mend', 'cursor', cursor)
    return found + some, true
  end
  write_counts()
  count_scheduled()
  redis.call('DEL', P .. 'mend')
  off = known_nowhere()
  if off > 0 then
    redis.call('HSET', P .. 'mend', 'left', off)
  end
  return found + some, false
end
