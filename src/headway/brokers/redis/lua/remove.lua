-- Duty: forget jobs that are not running.
-- KEYS[1] prefix; ARGV[3] the act, [4..] ids. Returns 1 for each that was removed, else 0.
-- @include base
-- @include regardless
-- @include act
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include removal
-- @include close
local before = answered_before()
if before then
  return before
end
must_be_sound()
local removed = {}
for i = 4, #ARGV do
  removed[#removed + 1] = remove_one(ARGV[i]) and 1 or 0
end
remove_end()
close()
return answered(removed)
