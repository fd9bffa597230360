-- Duty: what a repeating entry says of itself; BullMQ keeps a hash of each, Bull nothing but its key and next fire time.
local SMALLEST = 65536
local ENTRY = { 'name', 'pattern', 'every', 'tz', 'offset', 'startDate', 'endDate', 'limit', 'opts', 'data', 'ic' }

local function entry_read(prefix, key)
  local found, from = {}, prefix .. 'repeat:' .. key
  local is_hash = redis.call('TYPE', from).ok == 'hash'
  for i, field in ipairs(ENTRY) do
    local size = is_hash and redis.call('HSTRLEN', from, field) or 0
    found[i] = size > SMALLEST and '\0' .. size or is_hash and redis.call('HGET', from, field) or ''
  end
  return found
end

local function entry_seal(fields)
  return redis.sha1hex(table.concat(fields, '\0', 1, #ENTRY - 1)) -- how often it fired is another matter
end
