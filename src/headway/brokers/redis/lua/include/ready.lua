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

-- A job that leaves a ready list from its middle leaves its entry behind, which is void from then on: to take it out would cost a
-- walk through the list. Hash tomb: id -> its list, or how many, *, list; hash tombs: list -> how many in all.
-- A job that comes back is put at the tail, so of its entries in one list the first are void, and the last one counts.
local function parse_tomb(text)
  local void, list = string.match(text, '^(%d+)%*(.*)$')
  return tonumber(void) or 1, list or text
end

local function tomb_count(list, delta)
  if redis.call('HINCRBY', P .. 'tombs', list, delta) <= 0 then
    redis.call('HDEL', P .. 'tombs', list)
  end
end

local function entomb(id, list)
  local text = redis.call('HGET', P .. 'tomb', id)
  local void, old = 0, list
  if text then
    void, old = parse_tomb(text)
  end
  if old ~= list then -- the id was given to a job of another queue or priority
    redis.call('LREM', P .. 'r:' .. old, 0, id)
    tomb_count(old, -void)
    void = 0
  end
  redis.call('HSET', P .. 'tomb', id, void == 0 and list or void + 1 .. '*' .. list)
  tomb_count(list, 1)
end

-- Tell whether this entry of the list, the first of its id, is void; then it is gone.
local function is_void(id, list, text)
  local void, of = parse_tomb(text)
  if of ~= list then
    return false
  end
  if void > 1 then
    redis.call('HSET', P .. 'tomb', id, void > 2 and void - 1 .. '*' .. list or list)
  else
    redis.call('HDEL', P .. 'tomb', id)
  end
  tomb_count(list, -1)
  return true
end
