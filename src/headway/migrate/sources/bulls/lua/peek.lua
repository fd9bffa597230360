-- Duty: read jobs of a queue by their ids, each within bounds, as many as fit into one call.
-- KEYS[1] base of the ledger (unused); KEYS[2] the queue's prefix; ARGV[1] bytes of data to send along at most; ARGV[2..] ids.
-- Returns for each job, as far as they fit: {} when there is no such hash, else {seal, size, data or nil, locked, how many
-- children it waits for, some of them, score of the repeating entry or nil, whether another job waits for its deduplication,
-- how many children have ended, field, field ...}.
-- @include job
local MOST = 262144 -- bytes of jobs read by one call, but for a first one that is larger
local CHILDREN = 100 -- named
local prefix, largest = KEYS[2], tonumber(ARGV[1])

local function repeats(id, found)
  if string.sub(id, 1, 7) ~= 'repeat:' then
    return nil
  end
  local entry = found[12]
  if entry == '' then
    local ok, opts = pcall(cjson.decode, found[2])
    local again = ok and type(opts) == 'table' and opts['repeat']
    entry = type(again) == 'table' and type(again.key) == 'string' and again.key or ''
  end
  if entry == '' or redis.call('TYPE', prefix .. 'repeat').ok ~= 'zset' then
    return nil
  end
  local score = redis.call('ZSCORE', prefix .. 'repeat', entry)
  -- Only the job of the next fire belongs to the entry; those of earlier ones are jobs like others.
  return score and string.sub(id, -#score - 1) == ':' .. score and entry or nil
end

local function count(key, kind, command)
  return redis.call('TYPE', key).ok == kind and redis.call(command, key) or 0
end

local answer, bytes = {}, 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local key = prefix .. id
  local weight = job_weight(key)
  if i > 2 and bytes + (weight or 0) > MOST then
    break
  end
  if not weight then
    answer[#answer + 1] = {}
  else
    local found, size, data = job_read(key, weight)
    if size > largest then
      data = false
    elseif not data then
      data = redis.call('HGET', key, 'data') or ''
    end
    local waits, children, ended, locked = 0, {}, 0, 0
    -- For most jobs there is none of these.
    if redis.call('EXISTS', key .. ':lock', key .. ':dependencies', key .. ':processed', key .. ':failed') > 0 then
      locked = redis.call('EXISTS', key .. ':lock')
      waits = count(key .. ':dependencies', 'set', 'SCARD')
      ended = count(key .. ':processed', 'hash', 'HLEN') + count(key .. ':failed', 'hash', 'HLEN')
    end
    if waits > 0 then
      children = redis.call('SSCAN', key .. ':dependencies', 0, 'COUNT', CHILDREN)[2]
    end
    local follows = found[11] ~= '' and redis.call('EXISTS', prefix .. 'dn:' .. found[11]) or 0
    local one = { job_seal(key, found, size, data or nil), size, data, locked, waits, children,
      repeats(id, found) or false, follows, ended }
    for j, field in ipairs(found) do
      one[9 + j] = field
    end
    answer[#answer + 1] = one
    bytes = bytes + weight
  end
end
return answer
