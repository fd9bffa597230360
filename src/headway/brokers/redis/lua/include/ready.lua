-- Duty: ready lists r:<priority>:<queue> (tail = left, head = right), set live of those that may hold something.
local wake_queues = {}

local function push(command, list, ids)
  variadic(command, P .. 'r:' .. list, ids)
  redis.call('SADD', P .. 'live', list)
  wake_queues[string.sub(list, 3)] = true
end

local function push_tail(list, ids)
  push('LPUSH', list, ids)
end

-- The first of ids will be claimed first.
local function push_head(list, ids)
  local turned = {}
  for i = #ids, 1, -1 do
    turned[#turned + 1] = ids[i]
  end
  push('RPUSH', list, turned)
end

local function wake_pushed()
  for queue in pairs(wake_queues) do
    wake(queue)
  end
end

-- A job that leaves a ready list from its middle stays there as a tombstone: hash tomb id -> list; tombs: list -> how many.
local function entomb(id, list)
  redis.call('HSET', P .. 'tomb', id, list)
  redis.call('HINCRBY', P .. 'tombs', list, 1)
end

local function tomb_count(list, delta)
  if redis.call('HINCRBY', P .. 'tombs', list, delta) <= 0 then
    redis.call('HDEL', P .. 'tombs', list)
  end
end

-- Take the tombstone of an id away before the id may enter a list again.
local function exhume(id)
  local list = redis.call('HGET', P .. 'tomb', id)
  if list then
    redis.call('LREM', P .. 'r:' .. list, 0, id)
    redis.call('HDEL', P .. 'tomb', id)
    tomb_count(list, -1)
  end
end
