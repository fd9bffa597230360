-- Duty: wake-ups. idle:<class>: idle workers that want the same queues; qc:<queue>: the classes that want the queue.
-- Whoever is woken may be frozen, or its host gone without a word. So one idle worker more is asked to look a second later;
-- one in a second is enough: it sees all that was left lying in that time.
local function appoint_deputy(class)
  local deputy = redis.call('SRANDMEMBER', P .. 'idle:' .. class)
  if deputy and redis.call('SET', P .. 'deputy', '1', 'PX', '1000', 'NX') then
    redis.call('PUBLISH', P .. 'ch:w:' .. deputy, 'V')
  end
end

-- Wake one idle worker that wants the queue; those that no longer listen are skipped, and forgotten.
local function wake(queue)
  for _, class in ipairs(redis.call('SMEMBERS', P .. 'qc:' .. queue)) do
    local worker = redis.call('SPOP', P .. 'idle:' .. class)
    while worker do
      if redis.call('PUBLISH', P .. 'ch:w:' .. worker, 'W') > 0 then
        appoint_deputy(class)
        return
      end
      redis.call('HDEL', P .. 'at', worker)
      redis.call('HDEL', P .. 'hand', worker)
      worker = redis.call('SPOP', P .. 'idle:' .. class)
    end
  end
end

local function somebody_idles()
  for _, class in ipairs(redis.call('SMEMBERS', P .. 'classes')) do
    if redis.call('EXISTS', P .. 'idle:' .. class) == 1 then
      return true
    end
  end
  return false
end

-- Wake one idle worker for each of the queues.
local function wake_for(queues)
  for _, queue in ipairs(queues) do
    wake(queue)
  end
end

-- The queues in which jobs are ready, paused ones left out.
local function ready_queues()
  local queues, seen = {}, {}
  local lists = redis.call('SMEMBERS', P .. 'live')
  for _, queue in ipairs(#lists > 0 and redis.call('SMEMBERS', P .. 'paused') or {}) do
    seen[queue] = true
  end
  for _, list in ipairs(lists) do
    local queue = string.sub(list, 3)
    if not seen[queue] then
      seen[queue] = true
      queues[#queues + 1] = queue
    end
  end
  return queues
end
