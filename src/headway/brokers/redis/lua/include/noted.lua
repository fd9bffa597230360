-- Duty: which kinds occur in an answer, for those who read it.
local numbers, numbers_seen = { '0' }, {} -- of the kinds of what is handed out, behind that of their generation

local function note_kind(number)
  if not numbers_seen[number] then
    numbers[#numbers + 1] = number
    numbers_seen[number] = true
  end
end

-- What the numbers in the blobs stand for: a worker that starts, or serves hundreds of queues, need not come back to ask.
local function kinds_noted()
  if #numbers == 1 then
    return {}
  end
  local texts = gather('HMGET', P .. 'kinds', numbers)
  local kinds = { texts[1] or '' }
  for i = 2, #numbers do
    if texts[i] then
      kinds[#kinds + 1] = numbers[i]
      kinds[#kinds + 1] = texts[i]
    end
  end
  return kinds
end
