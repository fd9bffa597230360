-- Duty: the common case of enqueue in few calls: plain jobs (no due time, key, expiry ...) of one kind, none of them known.
-- KEYS[1] prefix
-- ARGV[1] now in ms, or "" for the server's clock; [2] flags, [3] kind number, [4] its text, [5] ready list, [6] queue, [7] how many jobs, then their ids, then their blobs.
-- All or nothing: where the job cannot be put into its list, or whoever idles cannot be told, nothing of it stays.
-- Returns 0; 1 when the numbers are not those of this server; 2 when the case is not the common one. Nothing is written then.
local P = KEYS[1]
-- @include wake

-- A lone job goes to an idle worker in the message that would only have woken it (hash hand, see claim.lua): it runs one round
-- trip sooner. It is leased at once; should the message not arrive, the worker's next claim or the end of the lease finds it.
local function hand_over(id, blob)
  if redis.call('EXISTS', P .. 'hand') == 0 or redis.call('EXISTS', P .. 'paused', P .. 'r:' .. ARGV[5]) > 0 then
    return false
  end
  for _, class in ipairs(redis.call('SMEMBERS', P .. 'qc:' .. ARGV[6])) do
    local worker = redis.call('SRANDMEMBER', P .. 'idle:' .. class)
    -- Only to one that holds nothing: a handler may block another, and what was handed over waits for its end.
    local free = worker and redis.call('HEXISTS', P .. 'holds', worker) == 0
    local offer = free and redis.call('HGET', P .. 'hand', worker)
    local claim, lease, for_class = string.match(offer or '', '^(%d+)|(%d+)|(%x+)$')
    if for_class == class then
      redis.call('HLEN', P .. 'run') -- refused here where it is damaged: once the message left nothing may fail
      redis.call('ZCARD', P .. 'leases')
      redis.call('SREM', P .. 'idle:' .. class, worker)
      local text = ARGV[4]
      if redis.call('PUBLISH', P .. 'ch:w:' .. worker, 'J' .. claim .. '|' .. id .. '|' .. #text .. '|' .. text .. blob) > 0 then
        local now = tonumber(ARGV[1])
        if not now then
          local time = redis.call('TIME')
          now = time[1] * 1000 + math.floor(time[2] / 1000)
        end
        redis.call('HSET', P .. 'hand', worker, claim .. '|!' .. id)
        redis.call('HSET', P .. 'j', id, blob)
        redis.call('HSET', P .. 'run', id, ARGV[3] .. string.format('|1|1|0|%.0f|%.0f|000|', now, claim + 1) .. worker)
        redis.call('HINCRBY', P .. 'holds', worker, 1)
        local begins = redis.call('ZADD', P .. 'leases', string.format('%.0f', now + lease), worker) == 1
        if begins and redis.call('SET', P .. 'watched', '1', 'PX', lease, 'NX') then
          pcall(wake, ARGV[6]) -- as in claim.lua: somebody has to know when this lease ends
        end
        return true
      end
      redis.call('HDEL', P .. 'hand', worker)
      redis.call('HDEL', P .. 'at', worker)
    end
  end
  return false
end

local total = tonumber(ARGV[7])
if redis.call('HGET', P .. 'kinds', ARGV[3]) ~= ARGV[4] then
  return 1
end
-- Most often none of these is there while jobs are enqueued: then one look tells that nobody watches and nobody is to be woken.
local quiet = redis.call('EXISTS', P .. 'ev:on', P .. 'hand', P .. 'qc:' .. ARGV[6]) == 0
if ARGV[2] ~= '' or not quiet and redis.call('EXISTS', P .. 'ev:on') > 0 then
  return 2
end
local ids = {}
if total == 1 then
  local id, blob = ARGV[8], ARGV[9]
  ids[1] = id
  if quiet then
    if redis.call('HSETNX', P .. 'j', id, blob) == 0 then
      return 2
    end
  else
    if redis.call('HEXISTS', P .. 'j', id) == 1 then
      return 2
    end
    -- Nothing is stored before: where a message may not be published the job is not to count as accepted.
    if hand_over(id, blob) then
      return 0
    end
    redis.call('HSET', P .. 'j', id, blob)
  end
else
  local pairs_j = {}
  for i = 1, total do
    local id = ARGV[7 + i]
    ids[i] = id
    pairs_j[2 * i - 1] = id
    pairs_j[2 * i] = ARGV[7 + total + i]
  end
  for _, known in ipairs(redis.call('HMGET', P .. 'j', unpack(ids))) do
    if known then
      return 2
    end
  end
  redis.call('HSET', P .. 'j', unpack(pairs_j))
end
local pushed = redis.pcall('LPUSH', P .. 'r:' .. ARGV[5], unpack(ids))
local told = pushed
if pushed == total then
  told = redis.pcall('SADD', P .. 'live', ARGV[5]) -- it was empty
end
local fine, problem = type(told) ~= 'table', told
if fine and not quiet then
  fine, problem = pcall(wake, ARGV[6])
end
if not fine then
  if type(pushed) ~= 'table' then
    redis.call('LTRIM', P .. 'r:' .. ARGV[5], total, -1)
  end
  redis.call('HDEL', P .. 'j', unpack(ids))
  return type(problem) == 'table' and problem or redis.error_reply(problem)
end
return 0
