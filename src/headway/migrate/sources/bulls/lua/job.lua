-- Duty: what a job's hash says, within bounds; included by what reads and by what takes.
local SMALL = 65536   -- bytes of any field but the data
local SEALED = 1048576 -- bytes of data that are compared whole; of larger ones the length is

-- The fields in this order, then the data's. A field that is too long counts as its length, with a mark before it.
local FIELDS = { 'name', 'opts', 'timestamp', 'delay', 'priority', 'atm', 'attemptsMade', 'failedReason', 'progress',
  'parentKey', 'deid', 'rjk', 'finishedOn', 'stacktrace' }
local ALL = { unpack(FIELDS) }
ALL[#ALL + 1] = 'data'
local SEAL = 7 -- so many of them, and the data, must still be the same when the job is taken

local DATA = #FIELDS + 1

-- Reads all at once, where the whole hash is known to be small; nil where it is not.
local function job_read_small(key)
  local size = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
  if type(size) ~= 'number' or size > SMALL then
    return nil
  end
  local found, bytes = redis.call('HMGET', key, unpack(ALL)), size
  for i = 1, DATA do
    found[i] = found[i] or ''
  end
  local data = table.remove(found)
  return found, #data, bytes, data
end

-- Returns the fields, the length of the data, how many bytes were read, and the data if it is small; nil when there is no
-- such hash.
local function job_read(key)
  if redis.call('TYPE', key).ok ~= 'hash' then
    return nil
  end
  local found, size, bytes, data = job_read_small(key)
  if found then
    return found, size, bytes, data
  end
  found, bytes = {}, 0
  for i, field in ipairs(FIELDS) do
    local length = redis.call('HSTRLEN', key, field)
    if length > SMALL then
      found[i] = '\0' .. length
    else
      found[i] = redis.call('HGET', key, field) or ''
    end
    bytes = bytes + #found[i]
  end
  return found, redis.call('HSTRLEN', key, 'data'), bytes
end

-- Says in 40 characters what must not have changed.
local function job_seal(key, found, size, data)
  local parts = { size }
  for i = 1, SEAL do
    parts[i + 1] = found[i]
  end
  if size <= SEALED then
    parts[#parts + 1] = redis.sha1hex(data or redis.call('HGET', key, 'data') or '')
  end
  return redis.sha1hex(table.concat(parts, '\0'))
end
