-- Duty: all that is known of some jobs, at one instant.
-- KEYS[1] prefix; ARGV[3..] ids. Returns the columns j, m, run, done, due score, key, progress, cancel reason, what a withdrawn job
-- was, unique key (mode|window|key), and the generation of the kind numbers.
-- @include base
-- @include unique
local ids = {}
for i = 3, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
-- Of many jobs few have these.
local function rare(name)
  local found = gather_if_any(P .. name, ids)
  if not found then
    found = {}
    for i = 1, #ids do
      found[i] = false
    end
  end
  return found
end

local unique = rare('uof')
for i, key in ipairs(unique) do
  if key then
    unique[i] = held_as(ids[i], key)
  end
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
  rare('withdrawn'),
  unique,
  redis.call('HGET', P .. 'kinds', '0') or '',
}
