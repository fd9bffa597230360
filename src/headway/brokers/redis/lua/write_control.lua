-- Duty: write the next version of a control document, if the one before is that which the writer knows.
-- KEYS[1] prefix; ARGV[3] the act, [4] name, [5] version expected, [6] body, [7] how many versions are kept; under a lease
-- then [8] its name, [9] token and holder. Returns { the new version }; { 0 } when it is another one, or the lease is not held.
-- @include base
-- @include act
-- @include sound
-- @include control
local before = answered_before()
if before then
  return before
end
local name, expected, key = ARGV[4], tonumber(ARGV[5]), P .. 'control:' .. ARGV[4]
if ARGV[8] and holder_of(ARGV[8]) ~= ARGV[9] or present_version(name) ~= expected then
  return { 0 }
end
redis.call('LPUSH', key, string.format('%.0f|%s|', expected + 1, NOW) .. ARGV[6])
redis.call('LTRIM', key, 0, ARGV[7] - 1)
return answered({ expected + 1 })
