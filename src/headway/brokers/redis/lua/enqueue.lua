-- Duty: accept jobs, all or none, in their order. The first write may be refused for want of memory; then nothing is written.
-- KEYS[1] prefix
-- ARGV[3] how many kinds, then number, text each; how many runs, then kind number, count each (jobs in order, cut where the
--         kind changes); how many jobs, then their ids, then their blobs (kind:payload);
--         then for each job that is not plain: place, due, expires, = and key, unique mode (r t d k), unique key, window, schedule, fire.
-- Returns place, id pairs of the duplicates, flat; the string KINDS when the numbers are not those of this server; the string
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
-- @include close
local MAX_AHEAD = 60000 -- headway.fires
local at = 3
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

local special = {}
while at <= #ARGV do
  local place = tonumber(next_arg())
  special[place] = { due = next_arg(), expires = next_arg(), key = next_arg(), mode = next_arg(), unique = next_arg(),
    window = tonumber(next_arg()) or 0, schedule = next_arg(), fire = next_arg() }
  local wish = special[place]
  wish.key = wish.key ~= '' and string.sub(wish.key, 2) or nil
  wish.schedule = wish.fire ~= '' and wish.schedule or nil
  if wish.schedule and tonumber(wish.fire) > now + MAX_AHEAD then
    return 'FIRE' .. place
  end
end

-- The keys that the jobs will touch have to be sound before the first of them is written.
local function must_be_ready()
  local used = {}
  for _, wish in pairs(special) do
    used[wish.mode] = true
    used.key = used.key or wish.key
    used.fire = used.fire or wish.schedule
    used.later = used.later or wish.due ~= '' or wish.expires ~= ''
    used.expires = used.expires or wish.expires ~= ''
  end
  if used.d or used.k then
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
  if used.key then
    must_hold('hash', 'keys')
    must_hold('hash', 'keyof')
  end
  if used.fire then
    must_hold('hash', 'fire')
  end
  if used.r or used.t then
    must_hold('hash', 'u')
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
local earliest, earliest_queue = tonumber(redis.call('ZRANGE', P .. 'sched', 0, 0, 'WITHSCORES')[2]) or math.huge, nil

local function flush()
  variadic('HSET', P .. 'j', new_j)
  variadic('HSET', P .. 'm', new_m)
  variadic('ZADD', P .. 'sched', new_sched)
  variadic('ZADD', P .. 'exp', new_exp)
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
end

local function append(list, a, b)
  list[#list + 1] = a
  list[#list + 1] = b
end

-- The job that is in the way of this one by its unique key, or nil; second: true when this one is to be held.
local function check_unique(id, wish)
  flush()
  local text = redis.call('HGET', P .. 'u', wish.unique)
  local lock = text and parse_lock(text)
  if not lock then
    return nil, false
  end
  if wish.mode == 't' then
    if now < lock.enqueued + wish.window then
      return lock.id, false
    end
    return nil, false
  end
  if lock.gone then
    return nil, false
  end
  if wish.mode == 'r' then
    return lock.id, false
  end
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
  if wish.mode == 'k' and holder.state == 'R' then
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

local function blocked(id, wish)
  if wish.schedule then
    local last = redis.call('HGET', P .. 'fire', wish.schedule)
    if last then
      local fired, job = string.match(last, '^(%-?%d+)|(.*)$')
      if fired and tonumber(fired) <= now + MAX_AHEAD and tonumber(wish.fire) <= tonumber(fired) then
        return job ~= '' and job or id, false, true
      end
    end
  end
  if wish.key then
    local holder = redis.call('HGET', P .. 'keys', wish.key)
    if holder then
      return holder, false, false
    end
  end
  if wish.mode ~= '' then
    return check_unique(id, wish)
  end
  return nil, false, false
end

local function remember(id, wish, held)
  if wish.key then
    redis.call('HSET', P .. 'keys', wish.key, id)
    redis.call('HSET', P .. 'keyof', id, wish.key)
  end
  if wish.mode == '' then
    return
  end
  redis.call('HSET', P .. 'uof', id, wish.unique)
  if held then
    redis.call('HSET', P .. 'uh', wish.unique, id)
    return
  end
  local till = wish.mode == 't' and now + wish.window or 0
  redis.call('HSET', P .. 'u', wish.unique, lock_text(id, now, till, false))
  if till > 0 then
    redis.call('ZADD', P .. 'ux', string.format('%.0f', till), wish.unique)
  end
end

local PLAIN = { due = '', expires = '', mode = '' }
local function accept(id, blob, run, wish)
  local holder, held, stale_fire = blocked(id, wish)
  if wish.schedule and not stale_fire then
    redis.call('HSET', P .. 'fire', wish.schedule, wish.fire .. '|' .. (holder or id))
  end
  if holder then
    return holder
  end
  local kind = kind_of(run.kind)
  local due = tonumber(wish.due)
  local delayed = held or (due ~= nil and due > now)
  append(new_j, id, blob)
  if delayed or wish.expires ~= '' then
    append(new_m, id, header_text({ kind = run.kind, epoch = '0', attempt = '0', crashes = '0', due = delayed and wish.due or '',
      expires = wish.expires, started = '', history = '' }))
  end
  if wish.expires ~= '' then
    append(new_exp, wish.expires, id)
  end
  if delayed then
    append(new_sched, held and '+inf' or wish.due, id)
    count('D', run.kind, 1)
    if not held and due < earliest then
      earliest, earliest_queue = due, kind.queue
    end
  else
    new_ready[#new_ready + 1] = { list = kind.list, id = id }
  end
  remember(id, wish, held)
  event('enqueued', id, '0', kind.queue, '')
  if wish.mode ~= '' then
    flush()
  end
  return nil
end

local place = 0
for _, run in ipairs(runs) do
  for _ = 1, run.size do
    place = place + 1
    local id = ids[place]
    if not known[place] and not seen[id] then
      local holder = accept(id, ARGV[blobs + place], run, special[place] or PLAIN)
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
