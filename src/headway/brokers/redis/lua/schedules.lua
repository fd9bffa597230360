-- Duty: make exactly these schedules known. When each fired last stays, also of those that are no longer known.
-- KEYS[1] prefix; ARGV[3..] name, text pairs. hash sch: name -> text; set sch:paused; hash fire: name -> last fire|job id.
-- @include base
local old = redis.call('SMEMBERS', P .. 'sch:paused')
redis.call('DEL', P .. 'sch')
local named = {}
for i = 3, #ARGV, 2 do
  redis.call('HSET', P .. 'sch', ARGV[i], ARGV[i + 1])
  named[ARGV[i]] = true
end
for _, name in ipairs(old) do
  if not named[name] then
    redis.call('SREM', P .. 'sch:paused', name)
  end
end
return 1
