-- Duty: all that is known of some jobs, at one instant.
-- KEYS[1] prefix; ARGV[3..] ids. Returns the columns j, m, run, done, due score, key, progress, cancel reason, and the generation
-- of the kind numbers.
-- @include base
local ids = {}
for i = 3, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
return {
  gather('HMGET', P .. 'j', ids),
  gather('HMGET', P .. 'm', ids),
  gather('HMGET', P .. 'run', ids),
  gather('HMGET', P .. 'done', ids),
  gather('ZMSCORE', P .. 'sched', ids),
  gather('HMGET', P .. 'keyof', ids),
  gather('HMGET', P .. 'prog', ids),
  gather('HMGET', P .. 'creq', ids),
  redis.call('HGET', P .. 'kinds', '0') or '',
}
