-- Duty: the common case of enqueue in few calls: plain jobs (no due time, key, expiry ...) of one kind, none of them known.
-- KEYS[1] prefix
-- ARGV[2] flags, [3] kind number, [4] its text, [5] ready list, [6] queue, [7] how many jobs, then their ids, then their blobs.
-- Returns 0; 1 when the numbers are not those of this server; 2 when the case is not the common one. Nothing is written then.
local P = KEYS[1]
-- @include wake
local total = tonumber(ARGV[7])
if redis.call('HGET', P .. 'kinds', ARGV[3]) ~= ARGV[4] then
  return 1
end
if ARGV[2] ~= '' or redis.call('EXISTS', P .. 'ev:on', P .. 'tomb') > 0 then
  return 2
end
local ids, pairs_j = {}, {}
for i = 1, total do
  local id = ARGV[7 + i]
  ids[i] = id
  pairs_j[2 * i - 1] = id
  pairs_j[2 * i] = ARGV[7 + total + i]
end
if total == 1 then
  if redis.call('HEXISTS', P .. 'j', ids[1]) == 1 then
    return 2
  end
else
  for _, known in ipairs(redis.call('HMGET', P .. 'j', unpack(ids))) do
    if known then
      return 2
    end
  end
end
redis.call('HSET', P .. 'j', unpack(pairs_j))
if redis.call('LPUSH', P .. 'r:' .. ARGV[5], unpack(ids)) == total then
  redis.call('SADD', P .. 'live', ARGV[5]) -- it was empty
end
wake(ARGV[6])
return 0
