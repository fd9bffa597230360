-- Duty: who may be woken. A class: workers that want the same queues, ARGV[9] of claim.lua.
-- hash at: worker -> the class in which it was idle last; set cq:<class>: its queues; the other keys are those of wake.lua.
local function wanted_queues()
  local at = 1
  return function()
    local size, start = string.match(ARGV[9], '^(%d+):()', at)
    if not size then
      return nil
    end
    at = start + size
    return string.sub(ARGV[9], start, at - 1)
  end
end

-- Take the worker out of those who may be woken: out of another class than this one in any case, out of this one if `leave`.
-- Return the class in which it was, and whether it was taken out.
local function stop_idling(worker, class, leave)
  local was = redis.call('HGET', P .. 'at', worker)
  local left = was and (was ~= class or leave) and redis.call('SREM', P .. 'idle:' .. was, worker) == 1
  if was and was ~= class then
    redis.call('HDEL', P .. 'at', worker)
  end
  return was, left
end

local function start_idling(worker, class, was, left)
  if was ~= class then
    redis.call('HSET', P .. 'at', worker, class)
  end
  local known = left and was == class
  if redis.call('SADD', P .. 'idle:' .. class, worker) == 0 or known or redis.call('SADD', P .. 'classes', class) == 0 then
    return
  end
  for queue in wanted_queues() do
    redis.call('SADD', P .. 'qc:' .. queue, class)
    redis.call('SADD', P .. 'cq:' .. class, queue)
  end
end
