-- Duty: end waiting jobs that are to go on elsewhere; tell of them all that is known.
-- KEYS[1] prefix; ARGV[3] reason, [4..] ids. Returns the columns withdrawn, done and j, false for what was not withdrawn, now or
-- before, and 1 if it has a log; then the generation of the kind numbers.
-- hash withdrawn: id -> state before|mode|window|length of the idempotency key or -|that key, unique key.
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
-- @include close
must_be_sound()

-- It waits for the end of another job that runs here, or is waited for.
local function is_bound(unique)
  return unique and redis.call('HEXISTS', P .. 'uh', unique) == 1
end

-- Return true when the unique key is to be held on until the job is elsewhere: where it refuses others. One that others replace is
-- free, whole: nobody can replace the job while it is on its way.
local function let_go(id, unique, mode)
  redis.call('HDEL', P .. 'uof', id)
  if mode == 'r' or mode == 't' then
    return true
  end
  local text = redis.call('HGET', P .. 'u', unique)
  local lock = text and parse_lock(text)
  if lock and lock.id == id then
    redis.call('HDEL', P .. 'u', unique)
    redis.call('ZREM', P .. 'ux', unique)
  end
  return false
end

local function is_overdue(job)
  return job.expires ~= '' and tonumber(job.expires) <= now
end

local ids = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  ids[#ids + 1] = id
  local job = find(id)
  local waits = job and (job.state == 'D' or job.state == 'Q') and kind_of(job.kind)
  local unique = waits and redis.call('HGET', P .. 'uof', id)
  if waits and not is_bound(unique) and not is_overdue(job) then
    local key = redis.call('HGET', P .. 'keyof', id)
    local held = unique and held_as(id, unique) or '|0|'
    local mode, window, name = string.match(held, '^(%a?)|(%d+)|(.*)$')
    redis.call('HSET', P .. 'withdrawn', id, job.state .. '|' .. mode .. '|' .. window .. '|' .. (key and #key or '-') .. '|'
      .. (key or '') .. name)
    local held_on = unique and let_go(id, unique, mode)
    finish_waiting(id, job, 'C', ARGV[3])
    write_finished()
    if held_on then -- let go of with the record
      redis.call('HSET', P .. 'uof', id, unique)
    end
  end
end
close()

local withdrawn, theirs = gather('HMGET', P .. 'withdrawn', ids), {}
for i, text in ipairs(withdrawn) do
  theirs[#theirs + 1] = text and ids[i] or nil
end
local function columns_of(suffix)
  local found, next_one, columns = gather('HMGET', P .. suffix, theirs), 0, {}
  for i, text in ipairs(withdrawn) do
    next_one = text and next_one + 1 or next_one
    columns[i] = text and found[next_one]
  end
  return columns
end
local known, logged = redis.call('EXISTS', P .. 'logged') == 1 and gather('SMISMEMBER', P .. 'logged', ids), {}
for i = 1, #ids do
  logged[i] = known and known[i] or 0
end
return { withdrawn, columns_of('done'), columns_of('j'), logged, redis.call('HGET', P .. 'kinds', '0') or '' }
