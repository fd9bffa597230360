-- Duty: forget an entry if it is of this version.
-- ARGV: key, version. Returns 1 if it was, else 0.
-- @include base
local there = redis.call('HGET', ENTRIES, ARGV[1])
if not there or parts(there) ~= ARGV[2] then
  return 0
end
remove(ARGV[1], there)
return 1
