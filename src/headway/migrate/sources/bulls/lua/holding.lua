-- Duty: move what belongs to a job between the queue and the ledger; by RENAME, which costs the same whatever it holds.
local PARTS = { ':logs', ':dependencies', ':processed', ':failed', ':unsuccessful' }

-- Returns how many keys lie beside a job's own, its lock among them; for most jobs none.
local function beside(key)
  return redis.call('EXISTS', key .. ':lock', key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
    key .. ':unsuccessful')
end

local function hold(key, held, alone)
  redis.call('RENAME', key, held)
  if alone then
    return
  end
  for _, part in ipairs(PARTS) do
    if redis.call('EXISTS', key .. part) == 1 then
      redis.call('RENAME', key .. part, held .. part)
    end
  end
end

local function give_back(held, key)
  redis.call('RENAME', held, key)
  for _, part in ipairs(PARTS) do
    if redis.call('EXISTS', held .. part) == 1 then
      redis.call('RENAME', held .. part, key .. part)
    end
  end
end

-- A deduplication key that stays would refuse new jobs for the sake of one that is gone; one that runs out by itself (a
-- throttle) goes on to hold. Returns the id, and until when it held: 0 for ever.
local function dedup_release(prefix, id, deid, keep)
  local key = prefix .. 'de:' .. deid
  if deid == '' or redis.call('TYPE', key).ok ~= 'string' or redis.call('GET', key) ~= id then
    return false
  end
  local left = redis.call('PTTL', key)
  if left <= 0 or keep ~= '1' then
    redis.call('DEL', key)
  end
  return { deid, left > 0 and tonumber(now) + left or 0 }
end

local function dedup_restore(prefix, id, dedup)
  if not dedup then
    return
  end
  local key = prefix .. 'de:' .. dedup[1]
  if dedup[2] == 0 then
    redis.call('SET', key, id, 'NX')
  elseif dedup[2] > tonumber(now) then
    redis.call('SET', key, id, 'PX', string.format('%.0f', dedup[2] - tonumber(now)), 'NX')
  end
end
