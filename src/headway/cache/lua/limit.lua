-- Duty: take from the rate of a key, or say when that will be possible (generic cell rate algorithm, see limiter.py).
-- KEYS[1] the theoretical arrival time of the key. ARGV: now (empty: the server's clock), the spacing, the whole burst, the cost;
-- all in microseconds but the cost. Returns 1 and how many more would be allowed, or 0 and for how long it is not.
local now, spacing, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local moved = arrival + spacing * tonumber(ARGV[4])
local early = moved - burst - now
if early > 0 then
  return { 0, early }
end
redis.call('SET', KEYS[1], string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000))
return { 1, math.floor(-early / spacing) }
