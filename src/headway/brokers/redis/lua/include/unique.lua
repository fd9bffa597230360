-- Duty: let go of unique keys.
-- hash u: unique key -> id|enqueued|until|digit (until: end of a throttle window or 0). The digit is odd when the holder is gone and
-- only the window lasts; without that it is twice the place of the holder's mode in MODES, 0 where an older Headway wrote it.
-- hash uof: id -> unique key; hash uh: unique key -> id of the held job (keep_last); zset ux: unique key -> until.
local MODES = 'rtdk'

local function parse_lock(text)
  local id, enqueued, till, digit = string.match(text, '^([^|]+)|(%d+)|(%d+)|(%d)$')
  local place = id and math.floor(digit / 2)
  return id and { id = id, enqueued = tonumber(enqueued), till = tonumber(till), gone = digit % 2 == 1,
    mode = string.sub(MODES, place, place) }
end

local function lock_text(id, enqueued, till, gone, mode)
  local place = mode ~= '' and string.find(MODES, mode, 1, true) or 0
  return string.format('%s|%.0f|%.0f|%d', id, enqueued, till, 2 * place + (gone and 1 or 0))
end

-- The unique key of a job that holds it or waits for it: mode|window|key. false: it does not any more, or nobody knows how.
local function held_as(id, key)
  local text = redis.call('HGET', P .. 'u', key)
  local lock = text and parse_lock(text)
  if lock and lock.id == id then
    local window = lock.mode == 't' and lock.till - lock.enqueued or 0
    return lock.mode ~= '' and string.format('%s|%.0f|', lock.mode, window) .. key
  end
  return redis.call('HGET', P .. 'uh', key) == id and 'k|0|' .. key
end

-- The held job takes the place of a holder that is done with.
local function free_held(key, id)
  redis.call('HDEL', P .. 'uh', key)
  local job = find(id)
  if not job or not job.held then
    redis.call('HDEL', P .. 'u', key)
    return
  end
  redis.call('HSET', P .. 'u', key, lock_text(id, now, 0, false, 'k'))
  local due = tonumber(job.due)
  local known = kind_of(job.kind)
  if due and due > now or not known or type(redis.pcall('LLEN', P .. 'r:' .. known.list)) == 'table' then
    redis.call('ZADD', P .. 'sched', due and job.due or NOW, id) -- at once, as soon as its list can take it
    return
  end
  redis.call('ZREM', P .. 'sched', id)
  count('D', job.kind, -1)
  push_tail(known.list, { id })
end

local function release_unique(ids)
  local keys = gather_if_any(P .. 'uof', ids)
  local looked = false
  for i, key in ipairs(keys or {}) do
    if key and not looked then
      looked = true
      must_hold('hash', 'u')
      must_hold('hash', 'uh')
      must_hold('sorted set', 'sched')
      must_hold('set', 'live')
    end
    if key then
      local id = ids[i]
      redis.call('HDEL', P .. 'uof', id)
      if redis.call('HGET', P .. 'uh', key) == id then
        redis.call('HDEL', P .. 'uh', key)
      end
      local text = redis.call('HGET', P .. 'u', key)
      local lock = text and parse_lock(text)
      if lock and lock.id == id then
        local held = redis.call('HGET', P .. 'uh', key)
        if held then
          free_held(key, held)
        elseif lock.till > now then
          redis.call('HSET', P .. 'u', key, lock_text(id, lock.enqueued, lock.till, true, lock.mode))
        else
          redis.call('HDEL', P .. 'u', key)
        end
      end
    end
  end
end
