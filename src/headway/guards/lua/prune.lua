-- Duty: forget entries that are due.
-- ARGV: now, how many at most. Returns how many.
-- @include base
return prune(tonumber(ARGV[1]), tonumber(ARGV[2]))
