-- Duty: for each of some jobs, the one that stands in its way; changes nothing. What is overdue is seen as ended.
-- KEYS[1] prefix; ARGV[3] ms that succeeded, cancelled and expired jobs are kept, [4] ms that failed ones are; then for each job
--         id, = and key, unique mode (r t d k), unique key, window, schedule, fire time. Returns an id for each, "" for none.
-- @include base
-- @include sound
-- @include header
-- @include unique
local MAX_AHEAD = 60000 -- headway.schedules.fires
local KEEP, KEEP_FAILED = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, name in ipairs({ 'fire', 'keys', 'done', 'u', 'uh' }) do
  must_hold('hash', name)
end
must_hold('sorted set', 'exp')

local function fired(id, schedule, fire)
  local last = fire ~= '' and redis.call('HGET', P .. 'fire', schedule)
  local at, job = string.match(last or '', '^(%-?%d+)|(.*)$')
  if not at or tonumber(at) > now + MAX_AHEAD or tonumber(fire) > tonumber(at) then
    return nil
  end
  return job ~= '' and job or id
end

local function holder_of(key)
  local id = key ~= '' and redis.call('HGET', P .. 'keys', string.sub(key, 2))
  local text = id and redis.call('HGET', P .. 'done', id)
  local job = text and parse_done(text)
  local old = job and tonumber(job.finished) + (job.state == 'F' and KEEP_FAILED or KEEP) <= now
  if old and redis.call('HEXISTS', P .. 'withdrawn', id) == 0 then
    return nil
  end
  return id or nil
end

-- A waiting job that should have expired, and which nobody has looked at since.
local function is_overdue(id, job)
  local expires = job and (job.state == 'D' or job.state == 'Q') and tonumber(redis.call('ZSCORE', P .. 'exp', id))
  return expires and expires <= now
end

local function holder_of_unique(mode, key, window)
  local text = mode ~= '' and redis.call('HGET', P .. 'u', key)
  local lock = text and parse_lock(text)
  if not lock then
    return nil
  end
  local job = not lock.gone and find(lock.id) or nil
  if is_overdue(lock.id, job) then
    local held = redis.call('HGET', P .. 'uh', key) -- it would be the holder then
    if held then
      lock = { id = held, enqueued = now, till = 0 }
      job = find(held)
    end
    if not held or is_overdue(held, job) then
      if lock.till <= now then
        return nil
      end
      job = nil
    end
  end
  local stands
  if mode == 't' then
    stands = now < lock.enqueued + window
  else
    stands = job and (job.state == 'D' or job.state == 'Q' or job.state == 'R' and mode ~= 'd')
    -- On its way to another carrier it stands in the way of those that it refuses.
    stands = stands or mode == 'r' and job and redis.call('HEXISTS', P .. 'withdrawn', lock.id) == 1
  end
  return stands and lock.id or nil
end

local found = {}
for i = 5, #ARGV, 7 do
  local id, key, mode, unique, window, schedule, fire = unpack(ARGV, i, i + 6)
  found[#found + 1] = fired(id, schedule, fire) or holder_of(key) or holder_of_unique(mode, unique, tonumber(window)) or ''
end
return found
