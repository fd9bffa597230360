-- Duty: refuse to begin where a key holds something else than ours. Lua does not roll back: what fails in the middle of a
-- script leaves half of its work, and a job that was taken from one place and not yet put into another is lost.
-- So whoever moves jobs looks first, and writes only what cannot fail any more.
-- Tables are made where they are needed: most runs of a script need none of this.
local function must_hold(what, suffix)
  local size = what == 'hash' and 'HLEN' or what == 'list' and 'LLEN' or what == 'set' and 'SCARD' or 'ZCARD'
  size = redis.pcall(size, P .. suffix)
  if type(size) == 'table' then
    local problem = string.find(size.err, 'WRONGTYPE', 1, true) and 'WRONGTYPE of key ' .. P .. suffix .. ': it holds no ' .. what
    error(problem or size.err, 0)
  end
  return size
end

-- All keys of an app that are always named the same. Some thirty calls: for what is rare, or done for many jobs at once.
local function must_be_sound()
  local fixed = {
    hash = { 'j', 'm', 'run', 'done', 'kinds', 'n', 'creq', 'prog', 'waiters', 'tomb', 'tombs', 'holds', 'at', 'hand', 'keys',
      'keyof', 'u', 'uof', 'uh', 'fire', 'withdrawn', 'drains' },
    list = { 'done:S' },
    set = { 'live', 'paused', 'classes', 'logged' },
    ['sorted set'] = { 'sched', 'exp', 'leases', 'done:F', 'done:C', 'done:X', 'ux' },
  }
  for what, names in pairs(fixed) do
    for _, name in ipairs(names) do
      must_hold(what, name)
    end
  end
  for _, counter in ipairs({ 'done:base', 'done:stale' }) do
    local value = redis.pcall('GET', P .. counter)
    if value and not (type(value) == 'string' and tonumber(value)) then
      error('WRONGTYPE of key ' .. P .. counter .. ': it holds no number', 0)
    end
  end
end

-- A ready list, by its priority and queue.
local takes -- those that were looked at
local function must_take(list)
  takes = takes or {}
  if not takes[list] then
    must_hold('list', 'r:' .. list)
    takes[list] = true
  end
end

-- Those who wait for work of this queue can be told, and the user of the URL may tell them.
local function must_reach(queue)
  if must_hold('set', 'qc:' .. queue) > 0 then
    for _, class in ipairs(redis.call('SMEMBERS', P .. 'qc:' .. queue)) do
      must_hold('set', 'idle:' .. class)
    end
    must_hold('hash', 'at')
    redis.call('PUBLISH', P .. 'ch:w:', '') -- nobody's channel
  end
end
