-- Duty: what a kind number stands for. hash kinds: number -> priority digit, length of the queue's name, colon, queue, task.
local kinds_seen = {}

-- list: suffix of the ready list; queue: its queue. nil when nobody knows the number.
local function kind_of(number)
  local known = kinds_seen[number]
  if known == nil then
    local text = redis.call('HGET', P .. 'kinds', number)
    local level, size, start
    if text then
      level, size, start = string.match(text, '^(%d)(%d+):()')
    end
    if start then
      local queue = string.sub(text, start, start + size - 1)
      known = { list = level .. ':' .. queue, queue = queue }
    else
      known = false
    end
    kinds_seen[number] = known
  end
  return known or nil
end
