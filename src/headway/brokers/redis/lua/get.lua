-- Duty: all that is known of some jobs, at one instant.
-- KEYS[1] prefix; ARGV[3..] ids. Returns the columns j, m, run, done, due score, key, progress, cancel reason, what a withdrawn job
-- was, unique key (mode|window|key), 1 if it has a log, and the generation of the kind numbers.
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
-- Whether each has a log: 1 or 0.
local function logged()
  if redis.call('EXISTS', P .. 'logged') == 1 then
    return gather('SMISMEMBER', P .. 'logged', ids)
  end
  local none = {}
  for i = 1, #ids do
    none[i] = 0
  end
  return none
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
  logged(),
  redis.call('HGET', P .. 'kinds', '0') or '',
}
