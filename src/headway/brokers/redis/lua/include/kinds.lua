-- Duty: what a kind number stands for. hash kinds: number -> priority digit, queue, NUL, task.
local kinds_seen = {}

-- list: suffix of the ready list; queue: its queue. nil when nobody knows the number.
local function kind_of(number)
  local known = kinds_seen[number]
  if known == nil then
    local text = redis.call('HGET', P .. 'kinds', number)
    local stop = text and string.find(text, '\0', 2, true)
    if stop then
      local queue = string.sub(text, 2, stop - 1)
      known = { list = string.sub(text, 1, 1) .. ':' .. queue, queue = queue }
    else
      known = false
    end
    kinds_seen[number] = known
  end
  return known or nil
end
