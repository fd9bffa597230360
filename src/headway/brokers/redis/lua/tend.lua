-- Duty: one bounded round of maintenance: what is due (maintain), what is missing (mend), old records by retention, kinds
-- without jobs.
-- KEYS[1] prefix; ARGV[3] ms succeeded, cancelled and expired jobs are kept, [4] ms failed ones, [5] how many of the former.
-- Returns { promoted, expired, reclaimed, pruned, mended, ms until there is more to do or -1, now }.
-- @include base
-- @include regardless
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include giveback
-- @include jump
-- @include maintain
-- @include mend
-- @include forget
-- @include close
local keep_ms, keep_failed, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local FRESH_MS = 60000 -- the cap on their number spares jobs of the last minute: their callers may be about to look
local WITHDRAWN_MS = 3600000 -- a withdrawn job is kept so long at least: somebody has to find its move interrupted
-- Pruning by age may be late by a tenth, so that a busy app is not woken for every record.
local function lazy(kept)
  return math.min(math.max(kept / 10, 1000), 60000)
end
must_be_sound()
shorten_leases()
local did = maintain()
write_finished()
write_counts()

local mended, mending = mend()

local pruned, pruned_ids = 0, {}
local function drop(state, id, kind)
  pruned_ids[#pruned_ids + 1] = id
  if kind then
    count(state, kind, -1)
  end
end

-- The oldest entries of done:S: { id, finished, kind, place } each; those that are no longer such are taken out on the way.
local function oldest_succeeded(size)
  while true do
    local ids = redis.call('LRANGE', P .. 'done:S', 0, size - 1)
    local found, stale = {}, 0
    for i, text in ipairs(gather('HMGET', P .. 'done', ids)) do
      local job = text and parse_done(text)
      if job and job.state == 'S' then
        found[#found + 1] = { state = 'S', id = ids[i], finished = tonumber(job.finished), kind = job.kind, place = i - stale }
      elseif #found == 0 then
        stale = stale + 1
      end
    end
    if stale > 0 then
      redis.call('LTRIM', P .. 'done:S', stale, -1)
      redis.call('INCRBY', P .. 'done:base', stale)
      redis.call('DECRBY', P .. 'done:stale', stale)
    end
    if #found > 0 or #ids == 0 then
      return found
    end
  end
end

local function oldest(state, size)
  local list = redis.call('ZRANGE', P .. 'done:' .. state, 0, size - 1, 'WITHSCORES')
  local found, ids = {}, {}
  for i = 1, #list, 2 do
    found[#found + 1] = { state = state, id = list[i], finished = tonumber(list[i + 1]) }
    ids[#ids + 1] = list[i]
  end
  for i, text in ipairs(gather('HMGET', P .. 'done', ids)) do
    local job = text and parse_done(text)
    found[i].kind = job and job.kind
  end
  -- A withdrawn job stays its whole time: only its record tells what is to go on elsewhere.
  for i, text in ipairs(state == 'C' and gather_if_any(P .. 'withdrawn', ids) or {}) do
    found[i].uncapped = text ~= false
  end
  return found
end

local function prune(found)
  local zset = { F = {}, C = {}, X = {} }
  local left, last = 0, 0
  for _, item in ipairs(found) do
    drop(item.state, item.id, item.kind)
    if item.state == 'S' then
      left, last = left + 1, math.max(last, item.place)
    else
      table.insert(zset[item.state], item.id)
    end
  end
  if left > 0 and left == last then
    redis.call('LTRIM', P .. 'done:S', last, -1)
    redis.call('INCRBY', P .. 'done:base', last)
  elseif left > 0 then
    redis.call('INCRBY', P .. 'done:stale', left) -- others stand between them: they go when they are the oldest
  end
  for state, ids in pairs(zset) do
    if #ids > 0 then
      variadic('ZREM', P .. 'done:' .. state, ids)
    end
  end
  pruned = pruned + #found
end

local function by_age(a, b)
  return a.finished < b.finished
end

local candidates = oldest_succeeded(BOUND)
for _, state in ipairs({ 'C', 'X' }) do
  for _, item in ipairs(oldest(state, BOUND)) do
    candidates[#candidates + 1] = item
  end
end
table.sort(candidates, by_age)
local stale = tonumber(redis.call('GET', P .. 'done:stale') or '0')
local total = redis.call('LLEN', P .. 'done:S') - stale + redis.call('ZCARD', P .. 'done:C') + redis.call('ZCARD', P .. 'done:X')
local over = total - most - redis.call('HLEN', P .. 'withdrawn')
local chosen, next_prune = {}, math.huge
for _, item in ipairs(candidates) do
  if #chosen >= BOUND then
    break
  end
  local beyond = #chosen < over and item.finished + FRESH_MS <= now and not item.uncapped
  local kept = item.uncapped and math.max(keep_ms, WITHDRAWN_MS) or keep_ms
  if item.finished + kept <= now or beyond then
    chosen[#chosen + 1] = item
  elseif item.uncapped then
    next_prune = math.min(next_prune, math.max(item.finished + kept, now + lazy(kept)))
  else
    next_prune = math.min(next_prune, math.max(item.finished + keep_ms, now + lazy(keep_ms)))
    if #chosen < over then
      next_prune = math.min(next_prune, math.max(item.finished + FRESH_MS, now + 1000))
    end
    break
  end
end
if #chosen >= BOUND then
  next_prune = now
end
prune(chosen)
chosen = {}
for _, item in ipairs(oldest('F', BOUND)) do
  if item.finished + keep_failed > now then
    next_prune = math.min(next_prune, math.max(item.finished + keep_failed, now + lazy(keep_failed)))
    break
  end
  chosen[#chosen + 1] = item
end
if #chosen >= BOUND then
  next_prune = now
end
prune(chosen)
forget(pruned_ids)

local windows = redis.call('ZRANGEBYSCORE', P .. 'ux', '-inf', NOW, 'LIMIT', 0, BOUND)
for _, key in ipairs(windows) do
  redis.call('ZREM', P .. 'ux', key)
  local text = redis.call('HGET', P .. 'u', key)
  local lock = text and parse_lock(text)
  if lock and lock.till > now then
    redis.call('ZADD', P .. 'ux', string.format('%.0f', lock.till), key)
  elseif lock and lock.gone then
    redis.call('HDEL', P .. 'u', key)
  end
end

-- Workers that are gone without a word: nobody listens on their channel. Those that hold jobs have a lease that ends.
local FEW_WORKERS = 100
local function forget_gone(key)
  for _, worker in ipairs(redis.call('HRANDFIELD', P .. key, FEW_WORKERS)) do
    if redis.call('HEXISTS', P .. 'holds', worker) == 0 and redis.pcall('PUBLISH', P .. 'ch:w:' .. worker, '') == 0 then
      local class = redis.call('HGET', P .. 'at', worker)
      if class then
        redis.call('SREM', P .. 'idle:' .. class, worker)
        redis.call('HDEL', P .. 'at', worker)
      end
      redis.call('HDEL', P .. 'hand', worker)
    end
  end
end

forget_gone('at')
forget_gone('hand')

-- A class in which nobody idles is forgotten: whoever idles in it again makes it known again.
for _, class in ipairs(redis.call('SMEMBERS', P .. 'classes')) do
  if redis.call('EXISTS', P .. 'idle:' .. class) == 0 then
    for _, queue in ipairs(redis.call('SMEMBERS', P .. 'cq:' .. class)) do
      redis.call('SREM', P .. 'qc:' .. queue, class)
    end
    redis.call('DEL', P .. 'cq:' .. class)
    redis.call('SREM', P .. 'classes', class)
  end
end

local next_ms = math.min(head(P .. 'sched'), head(P .. 'exp'), head(P .. 'leases'), next_prune)
if did.promoted >= BOUND or did.expired >= BOUND or mending then
  next_ms = now
end
close()
if forget_kinds() then
  next_ms = math.min(next_ms, now + 1000)
end
return { did.promoted, did.expired, did.reclaimed, pruned, mended, next_ms == math.huge and -1 or math.max(0, next_ms - now), now }
