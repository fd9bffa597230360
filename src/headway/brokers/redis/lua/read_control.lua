-- Duty: read a control document, or its last versions.
-- KEYS[1] prefix; ARGV[3] name, [4] the version that the reader has, [5] how many versions at most.
-- Returns nothing while that is the present version; else the instant, then the versions, the present one first.
-- list control:<name>: its versions, the present one first: version|changed|body.
-- @include base
-- @include sound
-- @include control
local version = present_version(ARGV[3])
if version == 0 or version == tonumber(ARGV[4]) then
  return {}
end
return { NOW, redis.call('LRANGE', P .. 'control:' .. ARGV[3], 0, ARGV[5] - 1) }
