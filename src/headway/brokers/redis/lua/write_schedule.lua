-- Duty: keep a schedule made at run time, where the expected revision stands; forget those that were deleted long ago.
-- KEYS[1] prefix; ARGV[3] name, [4] expected revision (0: none), [5] revision, [6] body (empty: deleted), [7] the ms that what is
-- left of a deleted one is kept. hash sch:made: name -> revision|body; zset sch:gone: deleted ones by revision.
-- Returns 1, or 0 when another revision is there.
-- @include base
-- @include sound
must_hold('hash', 'sch:made')
must_hold('sorted set', 'sch:gone')
must_hold('hash', 'fire')
must_hold('hash', 'sch')
local name, text = ARGV[3], ARGV[5] .. '|' .. ARGV[6]
local before = redis.call('HGET', P .. 'sch:made', name)
if before == text then
  return 1
end
if (before and string.match(before, '^(%d+)|') or '0') ~= ARGV[4] then
  return 0
end
redis.call('HSET', P .. 'sch:made', name, text)
if ARGV[6] == '' then
  redis.call('ZADD', P .. 'sch:gone', ARGV[5], name)
else
  redis.call('ZREM', P .. 'sch:gone', name)
end
local old = string.format('(%.0f', now - ARGV[7])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', P .. 'sch:gone', '-inf', old, 'LIMIT', 0, 100)) do
  redis.call('HDEL', P .. 'sch:made', gone)
  redis.call('ZREM', P .. 'sch:gone', gone)
  if redis.call('HEXISTS', P .. 'sch', gone) == 0 then
    redis.call('HDEL', P .. 'fire', gone)
  end
end
return 1
