-- Duty: keep an entry unless there is one of its key; forget a few that are due.
-- ARGV: now, key, value. Returns the value that is there, or nothing when the entry was kept.
-- @include base
local now, key, value = tonumber(ARGV[1]), ARGV[2], ARGV[3]
prune(now, 10)
local there = redis.call('HGET', ENTRIES, key)
if there then
  local _, forget = parts(there)
  if alive(forget, now) then
    return there
  end
  remove(key, there)
end
local _, forget, kind = parts(value)
keep(key, value, forget)
redis.call('ZADD', NAMES, 0, key)
count(kind, 1)
return false
