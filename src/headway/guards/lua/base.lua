-- KEYS of every script: [1] hash key -> value, [2] zset of the keys (by name), [3] zset of the keys (by the instant from
-- which they may be forgotten), [4] hash kind -> count. A value is "version forget kind data"; forget is - for never.
local ENTRIES, NAMES, FORGET, COUNTS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local PARTS = '^(%d+) (%S+) (%S*) '

local function parts(value)
  local version, forget, kind = string.match(value, PARTS)
  if not version then
    return '0', '-', '' -- damaged: it is of no kind, and version 1 takes its place
  end
  return version, forget, kind
end

local function alive(forget, now)
  return forget == '-' or tonumber(forget) > now
end

local function count(kind, by)
  if redis.call('HINCRBY', COUNTS, kind, by) <= 0 then
    redis.call('HDEL', COUNTS, kind)
  end
end

local function remove(key, value)
  local _, _, kind = parts(value or '')
  redis.call('HDEL', ENTRIES, key)
  redis.call('ZREM', NAMES, key)
  redis.call('ZREM', FORGET, key)
  if kind ~= '' then
    count(kind, -1)
  end
end

local function keep(key, value, forget)
  redis.call('HSET', ENTRIES, key, value)
  if forget == '-' then
    redis.call('ZREM', FORGET, key)
  else
    redis.call('ZADD', FORGET, forget, key)
  end
end

local function prune(now, limit)
  local due = redis.call('ZRANGEBYSCORE', FORGET, '-inf', now, 'LIMIT', 0, limit)
  for _, key in ipairs(due) do
    remove(key, redis.call('HGET', ENTRIES, key))
  end
  return #due
end
