-- Duty: forget the kinds that no job has. Queues and tasks may be named as a program runs, for each customer: without end.
-- No number is given twice (intern.lua); whoever enqueues under a forgotten one is told so, and asks for another.
-- string kinds:look: kinds were looked at just now; gone after a second, so that who asked for numbers can use them.
local KEPT = 10000 -- the latest numbers stay in any case
local LOOK = 1000 -- kinds looked at in one round
local MOST_COUNTS = 50000 -- of hash n, read in one go

-- The counters tell which kinds have jobs only if no job is missing in them: somebody may have deleted them.
local function all_are_counted()
  if redis.call('HLEN', P .. 'n') > MOST_COUNTS then
    return false
  end
  local scheduled, ended, all = 0, 0, redis.call('HGETALL', P .. 'n')
  for i = 1, #all, 2 do
    local some = tonumber(all[i + 1])
    if not some or some < 0 then
      return false
    elseif string.sub(all[i], 1, 2) == 'D:' then
      scheduled = scheduled + some
    else
      ended = ended + some
    end
  end
  return scheduled == redis.call('ZCARD', P .. 'sched') and ended == redis.call('HLEN', P .. 'done') and known_nowhere() == 0
end

-- By number, the text of old kinds of which nothing is scheduled, ready or completed.
local function idle_kinds(till)
  local sample, found = redis.call('HRANDFIELD', P .. 'kinds', LOOK, 'WITHVALUES'), {}
  for i = 1, #sample, 2 do
    local number = sample[i]
    local known = number ~= '0' and (tonumber(number) or math.huge) <= till and kind_of(number)
    if known and redis.call('EXISTS', P .. 'r:' .. known.list) == 0 then
      local counted = redis.call('HMGET', P .. 'n', 'D:' .. number, 'S:' .. number, 'F:' .. number, 'C:' .. number, 'X:' .. number)
      if not (counted[1] or counted[2] or counted[3] or counted[4] or counted[5]) then
        found[number] = sample[i + 1]
      end
    end
  end
  return found
end

-- One bounded round, when all else is written. Return whether there may be more to forget.
local function forget_kinds()
  local over = redis.call('HLEN', P .. 'kinds') - 1 - KEPT
  local last = over > 0 and redis.pcall('HGET', P .. 'kindof', '')
  last = type(last) == 'string' and tonumber(last)
  if not last or not redis.call('SET', P .. 'kinds:look', '1', 'PX', '1000', 'NX') then
    return over > 0
  end
  local idle = idle_kinds(last - KEPT)
  if not next(idle) or not all_are_counted() then
    return false
  end
  for _, text in ipairs(redis.call('HVALS', P .. 'run')) do
    local run = parse_run(text)
    if not run then
      return false
    end
    idle[run.kind] = nil
  end
  local some = false
  for number, text in pairs(idle) do
    if over > 0 then
      redis.call('HDEL', P .. 'kinds', number)
      if redis.call('HGET', P .. 'kindof', text) == number then
        redis.call('HDEL', P .. 'kindof', text)
      end
      over, some = over - 1, true
    end
  end
  return some and over > 0
end
