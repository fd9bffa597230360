-- Duty: replace an entry if it is of the version before; forget a few that are due.
-- ARGV: now, key, value, the version before. Returns 1 if it was, also when it had been before; else 0.
-- @include base
local now, key, value = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local there = redis.call('HGET', ENTRIES, key)
if there == value then
  return 1
end
prune(now, 10)
there = redis.call('HGET', ENTRIES, key)
if not there then
  return 0
end
local version, forget, kind = parts(there)
if version ~= ARGV[4] or not alive(forget, now) then
  return 0
end
local _, new_forget, new_kind = parts(value)
keep(key, value, new_forget)
if new_kind ~= kind then
  if kind ~= '' then
    count(kind, -1)
  end
  count(new_kind, 1)
end
return 1
