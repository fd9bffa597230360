-- Duty: accept jobs, all or none, in their order. The first write may be refused for want of memory; then nothing is written.
-- KEYS[1] prefix
-- ARGV[3] ms that succeeded, cancelled and expired jobs are kept, [4] ms that failed ones are; then
--         how many kinds, then number, text each; how many runs, then kind number, count each (jobs in order, cut where the
--         kind changes); how many jobs, then their ids, then their blobs (kind:payload);
--         then for each job that is not plain: place, shape, = and key, unique key, schedule. A shape is
--         due|expires|unique mode (r t d k)|window|fire; jobs that are made alike have the same. A mode in upper case: leave the
--         job out where nobody holds its unique key. Where place is p and a number the job brings a past along: then epoch, attempt,
--         crashes, history.
-- Returns place, id pairs of the duplicates, flat, with an empty id for one that was left out; the string KINDS when the numbers are not those of this server; the string
--         FIRE and a place when that job's fire time lies in the future: then nothing is written.
-- @include base
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include removal
-- @include close
local MAX_AHEAD = 60000 -- headway.schedules.fires
local KEEP, KEEP_FAILED = tonumber(ARGV[3]), tonumber(ARGV[4])
local at = 5
local function next_arg()
  at = at + 1
  return ARGV[at - 1]
end

local guard = {}
local numbers, texts = {}, {}
for i = 1, tonumber(next_arg()) do
  numbers[i], texts[i] = next_arg(), next_arg()
  guard[#guard + 1] = numbers[i]
  guard[#guard + 1] = texts[i]
end
for i, text in ipairs(gather('HMGET', P .. 'kinds', numbers)) do
  if text ~= texts[i] then
    return 'KINDS'
  end
end
local runs = {}
for i = 1, tonumber(next_arg()) do
  runs[i] = { kind = next_arg(), size = tonumber(next_arg()) }
end
local total = tonumber(next_arg())
local ids = {}
for i = 1, total do
  ids[i] = ARGV[at + i - 1]
end
local blobs = at + total - 1
at = at + 2 * total

must_hold('set', 'live')
for _, number in ipairs(numbers) do
  local kind = kind_of(number)
  must_take(kind.list)
  must_reach(kind.queue)
end

local plain = at > #ARGV
local known = gather('HMGET', P .. 'j', ids)
for i = 1, total do
  if known[i] then
    plain = false
    break
  end
end
if plain then
  local pairs_j = {}
  for i = 1, total do
    pairs_j[2 * i - 1] = ids[i]
    pairs_j[2 * i] = ARGV[blobs + i]
  end
  variadic('HSET', P .. 'j', pairs_j)
  local place = 1
  for _, run in ipairs(runs) do
    local mine = {}
    for i = place, place + run.size - 1 do
      mine[#mine + 1] = ids[i]
    end
    place = place + run.size
    push_tail(kind_of(run.kind).list, mine)
    if EVENTS then
      for _, id in ipairs(mine) do
        event_of_kind('enqueued', id, '0', run.kind, '')
      end
    end
  end
  close()
  return {}
end

local special, shapes = {}, {}
local wanted_keys, wanted_locks, used = {}, {}, {}

local function shape_of(text)
  local due, expires, mode, window, fire = string.match(text, '^(%-?%d*)|(%-?%d*)|(%a?)|(%d+)|(%-?%d*)$')
  local shape = { due = due, expires = expires, mode = string.lower(mode), window = tonumber(window), fire = fire }
  shape.only_held = mode ~= shape.mode
  mode = shape.mode
  used[mode] = true
  used.fire = used.fire or fire ~= ''
  used.expires = used.expires or expires ~= ''
  used.later = used.later or due ~= '' or expires ~= ''
  shapes[text] = shape
  return shape
end

while at <= #ARGV do
  local place, text = tonumber(ARGV[at]), ARGV[at + 1]
  local past = not place
  place = place or tonumber(string.sub(ARGV[at], 2))
  local wish = { shape = shapes[text] or shape_of(text), schedule = ARGV[at + 4] }
  if ARGV[at + 2] ~= '' then
    wish.key = string.sub(ARGV[at + 2], 2)
    wanted_keys[#wanted_keys + 1] = wish.key
  end
  if wish.shape.mode ~= '' then
    wish.unique = ARGV[at + 3]
    wanted_locks[#wanted_locks + 1] = wish.unique
  end
  if wish.shape.fire ~= '' and tonumber(wish.shape.fire) > now + MAX_AHEAD then
    return 'FIRE' .. place
  end
  special[place] = wish
  at = at + 5
  if past then
    wish.past = { epoch = ARGV[at], attempt = ARGV[at + 1], crashes = ARGV[at + 2], history = ARGV[at + 3] }
    used.past = true
    at = at + 4
  end
end

-- What stands under the keys of these jobs, as far as it is known: false for nothing.
local holders, locks = {}, {}
local met = false -- somebody holds one of them

-- Whether nobody would miss the record of a job that has completed: it may be pruned.
local function is_old(id)
  local text = redis.call('HGET', P .. 'done', id)
  local job = text and parse_done(text)
  local old = job and tonumber(job.finished) + (job.state == 'F' and KEEP_FAILED or KEEP) <= now
  return old and redis.call('HEXISTS', P .. 'withdrawn', id) == 0 -- what is on its way elsewhere is missed
end

for i, holder in ipairs(gather('HMGET', P .. 'keys', wanted_keys)) do
  holders[wanted_keys[i]] = holder
  met = met or holder and is_old(holder)
end
for i, text in ipairs(gather('HMGET', P .. 'u', wanted_locks)) do
  locks[wanted_locks[i]] = text and parse_lock(text)
  met = met or text
end

-- The keys that the jobs will touch have to be sound before the first of them is written.
local function must_be_ready()
  if met or used.d or used.k or used.past then
    must_be_sound() -- another job may end
    return
  end
  if used.later then
    must_hold('hash', 'm')
    must_hold('hash', 'n')
  end
  if used.expires then
    must_hold('sorted set', 'exp')
  end
  if #wanted_keys > 0 then
    must_hold('hash', 'keyof')
  end
  if used.fire then
    must_hold('hash', 'fire')
  end
  if #wanted_locks > 0 then
    must_hold('hash', 'uof')
  end
  if used.t then
    must_hold('sorted set', 'ux')
  end
end

must_be_ready()
variadic('HSET', P .. 'kinds', guard) -- changes nothing, but is refused when memory is short, before anything is written
local duplicates, seen = {}, {}
local new_j, new_m, new_sched, new_exp, new_ready = {}, {}, {}, {}, {}
local new_keys, new_keyof, new_u, new_uof, new_ux = {}, {}, {}, {}, {}
local earliest, earliest_queue = tonumber(redis.call('ZRANGE', P .. 'sched', 0, 0, 'WITHSCORES')[2]) or math.huge, nil

local function flush()
  variadic('HSET', P .. 'j', new_j)
  variadic('HSET', P .. 'm', new_m)
  variadic('ZADD', P .. 'sched', new_sched)
  variadic('ZADD', P .. 'exp', new_exp)
  variadic('HSET', P .. 'keys', new_keys)
  variadic('HSET', P .. 'keyof', new_keyof)
  variadic('HSET', P .. 'u', new_u)
  variadic('HSET', P .. 'uof', new_uof)
  variadic('ZADD', P .. 'ux', new_ux)
  local list, batch = nil, {}
  for _, item in ipairs(new_ready) do
    if list and item.list ~= list then
      push_tail(list, batch)
      batch = {}
    end
    list = item.list
    batch[#batch + 1] = item.id
  end
  if list then
    push_tail(list, batch)
  end
  new_j, new_m, new_sched, new_exp, new_ready = {}, {}, {}, {}, {}
  new_keys, new_keyof, new_u, new_uof, new_ux = {}, {}, {}, {}, {}
end

local function append(list, a, b)
  list[#list + 1] = a
  list[#list + 1] = b
end

-- The lock of a unique key, once a holder that should have expired has ended: whoever it held back holds it then.
local function lock_of(key)
  local lock = locks[key]
  while lock and not lock.gone do
    local expires = tonumber(redis.call('ZSCORE', P .. 'exp', lock.id))
    if not expires or expires > now then
      return lock
    end
    flush()
    redis.call('ZREM', P .. 'exp', lock.id)
    local holder = find(lock.id)
    if holder and (holder.state == 'D' or holder.state == 'Q') then
      finish_waiting(lock.id, holder, 'X', '')
      write_finished()
    end
    local text = redis.call('HGET', P .. 'u', key)
    lock = text and parse_lock(text)
    locks[key] = lock
  end
  return lock
end

-- Whether somebody holds the unique key against this job.
local function is_held(wish)
  local lock, mode = lock_of(wish.unique), wish.shape.mode
  if not lock then
    return false
  elseif mode == 't' then
    return now < lock.enqueued + wish.shape.window
  elseif lock.gone or mode == 'r' then
    return not lock.gone
  end
  flush()
  local holder = find(lock.id)
  return holder ~= nil and (holder.state == 'D' or holder.state == 'Q' or mode == 'k' and holder.state == 'R')
end

-- The job that is in the way of this one by its unique key, or nil; second: true when this one is to be held.
local function check_unique(id, wish)
  local lock, mode = lock_of(wish.unique), wish.shape.mode
  if not lock then
    return nil, false
  end
  if mode == 't' then
    if now < lock.enqueued + wish.shape.window then
      return lock.id, false
    end
    return nil, false
  end
  if lock.gone then
    return nil, false
  end
  if mode == 'r' then
    return lock.id, false
  end
  flush()
  local holder = find(lock.id)
  if not holder then
    return nil, false
  end
  local waits = holder.state == 'D' or holder.state == 'Q'
  if waits then
    redis.call('HDEL', P .. 'uof', lock.id) -- the lock passes on: finishing the holder must not free it
    finish_waiting(lock.id, holder, 'C', 'replaced by ' .. id)
    write_finished()
    return nil, false
  end
  if mode == 'k' and holder.state == 'R' then
    local held = redis.call('HGET', P .. 'uh', wish.unique)
    local job = held and find(held)
    if job and job.held then
      redis.call('HDEL', P .. 'uof', held)
      finish_waiting(held, job, 'C', 'replaced by ' .. id)
      write_finished()
    end
    return nil, true
  end
  return nil, false
end

-- The job that holds an idempotency key; one whose record is past its time is forgotten here.
local function holder_of(key)
  local holder = holders[key]
  if holder and is_old(holder) then
    remove_one(holder)
    remove_end()
    holders[key] = false
  end
  return holders[key]
end

local function blocked(id, wish)
  local fire = wish.shape.fire
  if fire ~= '' then
    local last = redis.call('HGET', P .. 'fire', wish.schedule)
    if last then
      local fired, job = string.match(last, '^(%-?%d+)|(.*)$')
      if fired and tonumber(fired) <= now + MAX_AHEAD and tonumber(fire) <= tonumber(fired) then
        return job ~= '' and job or id, false, true
      end
    end
  end
  local holder = wish.key and holder_of(wish.key)
  if holder then
    return holder, false, false
  end
  if wish.unique then
    return check_unique(id, wish)
  end
  return nil, false, false
end

local function remember(id, wish, held)
  if wish.key then
    append(new_keys, wish.key, id)
    append(new_keyof, id, wish.key)
    holders[wish.key] = id
  end
  if not wish.unique then
    return
  end
  append(new_uof, id, wish.unique)
  if held then
    redis.call('HSET', P .. 'uh', wish.unique, id)
    return
  end
  local till = wish.shape.mode == 't' and now + wish.shape.window or 0
  append(new_u, wish.unique, lock_text(id, now, till, false, wish.shape.mode))
  locks[wish.unique] = { id = id, enqueued = now, till = till, gone = false }
  if till > 0 then
    append(new_ux, string.format('%.0f', till), wish.unique)
  end
end

-- Forget a job that was withdrawn from here, when it comes back from where it went: under a higher epoch.
-- What it held until then is not in its own way.
local function comes_back(id, wish)
  local text = redis.call('HEXISTS', P .. 'withdrawn', id) == 1 and redis.call('HGET', P .. 'done', id)
  local job = text and parse_done(text)
  if not job or tonumber(wish.past.epoch) <= tonumber(job.epoch) then
    return false
  end
  remove_one(id)
  remove_end()
  if wish.key and holders[wish.key] == id then
    holders[wish.key] = false
  end
  local lock = wish.unique and locks[wish.unique]
  if lock and lock.id == id then
    redis.call('HDEL', P .. 'u', wish.unique)
    redis.call('ZREM', P .. 'ux', wish.unique)
    locks[wish.unique] = nil
  end
  return true
end

local NO_PAST = { epoch = '0', attempt = '0', crashes = '0', history = '' }
local PLAIN = { shape = { due = '', expires = '', mode = '', fire = '' } }
local function accept(id, blob, run, wish)
  if wish.shape.only_held and not is_held(wish) then
    return ''
  end
  local holder, held, stale_fire = blocked(id, wish)
  local shape = wish.shape
  if shape.fire ~= '' and not stale_fire then
    redis.call('HSET', P .. 'fire', wish.schedule, shape.fire .. '|' .. (holder or id))
  end
  if holder then
    return holder
  end
  local kind = kind_of(run.kind)
  local due = tonumber(shape.due)
  local delayed = held or (due ~= nil and due > now)
  append(new_j, id, blob)
  local past = wish.past
  if delayed or shape.expires ~= '' or past then
    past = past or NO_PAST
    append(new_m, id, header_text({ kind = run.kind, epoch = past.epoch, attempt = past.attempt, crashes = past.crashes,
      due = delayed and shape.due or '', expires = shape.expires, started = '', history = past.history }))
  end
  if shape.expires ~= '' then
    append(new_exp, shape.expires, id)
  end
  if delayed then
    append(new_sched, held and '+inf' or shape.due, id)
    count('D', run.kind, 1)
    if not held and due < earliest then
      earliest, earliest_queue = due, kind.queue
    end
  else
    new_ready[#new_ready + 1] = { list = kind.list, id = id }
  end
  remember(id, wish, held)
  event('enqueued', id, '0', kind.queue, '')
  if wish.unique and not (shape.mode == 'r' or shape.mode == 't') then
    flush()
  end
  return nil
end

local place = 0
for _, run in ipairs(runs) do
  for _ = 1, run.size do
    place = place + 1
    local id = ids[place]
    local wish = special[place] or PLAIN
    if (not known[place] or wish.past and comes_back(id, wish)) and not seen[id] then
      local holder = accept(id, ARGV[blobs + place], run, wish)
      if holder then
        duplicates[#duplicates + 1] = place
        duplicates[#duplicates + 1] = holder
      else
        seen[id] = true
      end
    end
  end
end
flush()
if earliest_queue then
  wake_queues[earliest_queue] = true -- its idle workers sleep until a later instant
end
close()
return duplicates
