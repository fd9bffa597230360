-- Duty: notice that the server's clock was set. Leases end by it, and must not end, nor last, because of that.
-- FLAGS end with @ and the instant that the caller expects: what the server told it last, and the time that has passed for it since.
local JUMP_MS = 2000 -- more than two clocks drift apart between two looks
local MERCY_MS = 60000 -- time for the heartbeats of all that live

local function jumped_by()
  local expected = not AGAIN and tonumber(string.match(FLAGS, '@(%d+)$') or '')
  return expected and now - expected or 0
end

-- Set ahead: leases that have run out wait for a heartbeat. Whoever expects wrongly, because its own machine slept, does no harm
-- but to delay what dead workers held.
local function spare_leases()
  if jumped_by() <= JUMP_MS then
    return false
  end
  local till = string.format('%.0f', now + MERCY_MS)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW)) do
    redis.call('ZADD', P .. 'leases', till, worker)
  end
  return true
end

-- Set back by more than a minute: leases of the old clock would last as much longer.
local function shorten_leases()
  local by = jumped_by()
  if by >= -MERCY_MS then
    return
  end
  local from = string.format('%.0f', now - by / 2)
  local old = redis.call('ZRANGEBYSCORE', P .. 'leases', from, '+inf', 'WITHSCORES')
  for i = 1, #old, 2 do
    redis.call('ZADD', P .. 'leases', string.format('%.0f', math.max(old[i + 1] + by, now + MERCY_MS)), old[i])
  end
end
