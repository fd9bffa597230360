-- Duty: ask a worker to drain and end, by message, and by a note for one that is cut off meanwhile.
-- KEYS[1] prefix; ARGV[3] worker, [4] ms after which notes are forgotten.
-- hash drains: worker -> instant of the request; taken out by surrender.lua, or by the next worker of the name.
-- @include base
-- @include regardless
redis.call('HSET', P .. 'drains', ARGV[3], NOW)
redis.call('PEXPIRE', P .. 'drains', ARGV[4])
redis.call('PUBLISH', P .. 'ch:w:' .. ARGV[3], 'D')
return 1
