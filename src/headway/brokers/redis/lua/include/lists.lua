-- Duty: in which ready lists jobs wait, by queue.
-- By queue: the priorities of its live lists, a digit each, of queues that are not paused.
local lists = {}
local FEW_LISTS, FEW_LOOKS = 16, 4 -- up to so many lists are read at once; of more, those of so many queues one by one
local looks, all_read = 0, false
local PRIORITIES = { '9', '8', '7', '6', '5', '4', '3', '2', '1', '0' }

-- No table for each queue: there may be hundreds.
local function read_lists()
  lists, all_read = {}, true
  for _, list in ipairs(redis.call('SMEMBERS', P .. 'live')) do
    local queue = string.sub(list, 3)
    lists[queue] = (lists[queue] or '') .. string.sub(list, 1, 1)
  end
  for _, queue in ipairs(next(lists) and redis.call('SMEMBERS', P .. 'paused') or {}) do
    lists[queue] = nil
  end
end

-- Most often the first queue has all that is wanted: then the lists of hundreds of others need not be read.
local function look_at(queue)
  looks = looks + 1
  local names, levels = {}, ''
  for i, priority in ipairs(PRIORITIES) do
    names[i] = priority .. ':' .. queue
  end
  for i, live in ipairs(redis.call('SMISMEMBER', P .. 'live', unpack(names))) do
    if live == 1 then
      levels = levels .. PRIORITIES[i]
    end
  end
  if levels ~= '' and redis.call('SISMEMBER', P .. 'paused', queue) == 0 then
    lists[queue] = levels
  end
end

local function levels_of(queue)
  if not all_read then
    if looks == FEW_LOOKS or looks == 0 and redis.call('SCARD', P .. 'live') <= FEW_LISTS then
      read_lists()
    else
      look_at(queue)
    end
  end
  return lists[queue]
end
