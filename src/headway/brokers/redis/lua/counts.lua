-- Duty: jobs by state.
-- KEYS[1] prefix. Returns { kinds (flat), counters of scheduled and terminal jobs (flat), kind numbers of running jobs with counts (flat),
-- ready lists: name, length, tombstones, first id, its header or "" (flat), paused queues }.
-- @include base
local running, order = {}, {}
for _, text in ipairs(redis.call('HVALS', P .. 'run')) do
  local kind = string.match(text, '^(%d+)|')
  if kind then
    if not running[kind] then
      order[#order + 1] = kind
    end
    running[kind] = (running[kind] or 0) + 1
  end
end
local runs = {}
for _, kind in ipairs(order) do
  runs[#runs + 1] = kind
  runs[#runs + 1] = running[kind]
end
local ready = {}
local LOOK = 100 -- tombstones passed over in search of the oldest job
for _, list in ipairs(redis.call('SMEMBERS', P .. 'live')) do
  local first, header = '', ''
  for _, id in ipairs(redis.call('LRANGE', P .. 'r:' .. list, -LOOK, -1)) do
    if redis.call('HEXISTS', P .. 'tomb', id) == 0 then
      first = id -- the list is claimed from its end: the last one stands
    end
  end
  if first ~= '' then
    header = redis.call('HGET', P .. 'm', first) or ''
  end
  ready[#ready + 1] = list
  ready[#ready + 1] = redis.call('LLEN', P .. 'r:' .. list)
  ready[#ready + 1] = tonumber(redis.call('HGET', P .. 'tombs', list) or '0') or 0
  ready[#ready + 1] = first
  ready[#ready + 1] = header
end
return { redis.call('HGETALL', P .. 'kinds'), redis.call('HGETALL', P .. 'n'), runs, ready, redis.call('SMEMBERS', P .. 'paused') }
