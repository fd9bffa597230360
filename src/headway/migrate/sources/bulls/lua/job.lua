-- Duty: what a job's hash says, within bounds; included by what reads and by what takes.
local SMALL = 65536   -- bytes of any field but the data
local SEALED = 131072 -- bytes of data that are compared whole: a megabyte would take some milliseconds
local ENDS = 65536     -- of larger ones, so many at the beginning and at the end
local HUGE = 1048576  -- of still larger ones the length is
local FEW = 100       -- fields; of more, nobody asks what they weigh in all

-- The fields in this order, then the data's. A field that is too long counts as its length, with a mark before it.
local FIELDS = { 'name', 'opts', 'timestamp', 'delay', 'priority', 'atm', 'attemptsMade', 'failedReason', 'progress',
  'parentKey', 'deid', 'rjk', 'finishedOn', 'stacktrace' }
local ALL = { unpack(FIELDS) }
ALL[#ALL + 1] = 'data'
local SEAL = 7 -- so many of them, and the data, must still be the same when the job is taken

local DATA = #FIELDS + 1

-- Returns about how many bytes a job has; nil when there is no such hash.
local function job_weight(key)
  local fields = redis.pcall('HLEN', key)
  if type(fields) ~= 'number' or fields == 0 then
    return nil
  end
  local size = fields <= FEW and redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
  if type(size) == 'number' then
    return size
  end
  size = 0
  for _, field in ipairs(ALL) do
    size = size + redis.call('HSTRLEN', key, field)
  end
  return size
end

-- Returns the fields, the length of the data, and the data if all of it is small.
local function job_read(key, weight)
  local found = {}
  if weight <= SMALL then
    found = redis.call('HMGET', key, unpack(ALL))
    for i = 1, DATA do
      found[i] = found[i] or ''
    end
    local data = table.remove(found)
    return found, #data, data
  end
  for i, field in ipairs(FIELDS) do
    local length = redis.call('HSTRLEN', key, field)
    if length > SMALL then
      found[i] = '\0' .. length
    else
      found[i] = redis.call('HGET', key, field) or ''
    end
  end
  return found, redis.call('HSTRLEN', key, 'data')
end

-- Says in 40 characters what must not have changed.
local function job_seal(key, found, size, data)
  local parts = { size }
  for i = 1, SEAL do
    parts[i + 1] = found[i]
  end
  if size <= HUGE then
    data = data or redis.call('HGET', key, 'data') or ''
    if size > SEALED then
      data = string.sub(data, 1, ENDS) .. string.sub(data, -ENDS)
    end
    parts[#parts + 1] = redis.sha1hex(data)
  end
  return redis.sha1hex(table.concat(parts, '\0'))
end
