-- Duty: count by kind, without what is due to be forgotten.
-- ARGV: now, how many may be forgotten on the way. Returns 1 when more are due (ask again), else 0; then kinds and counts.
-- @include base
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = redis.call('HGETALL', COUNTS)
if prune(now, limit) > 0 then
  if redis.call('ZCOUNT', FORGET, '-inf', now) > 0 then
    return { 1 }
  end
  answer = redis.call('HGETALL', COUNTS)
end
table.insert(answer, 1, 0)
return answer
