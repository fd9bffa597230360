-- Duty: take from the rates of some keys, one after the other, or say when that will be possible (generic cell rate
-- algorithm, see limiter.py). What is wrong with one key concerns its own call alone.
-- KEYS[i] the theoretical arrival time of the key of call i. ARGV: now (empty: the server's clock), then for each call the
-- spacing, the whole burst, the cost; all in microseconds but the cost. Returns two values for each call: 1 and how many
-- more would be allowed, 0 and for how long it is not, or -1 and the error.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local answers = {}
for i, key in ipairs(KEYS) do
  local spacing, burst, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local kept = redis.pcall('GET', key)
  local arrival = kept and tonumber(kept) or not kept and 0
  local status, number = -1, kept and kept.err
  if arrival then
    local moved = math.max(arrival, now) + spacing * cost
    local early = moved - burst - now
    if early > 0 then
      status, number = 0, early
    else
      local done = redis.pcall('SET', key, string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000))
      if done.err then
        number = done.err
      else
        status, number = 1, math.floor(-early / spacing)
      end
    end
  end
  answers[2 * i - 1], answers[2 * i] = status, number or 'the key holds no number'
end
return answers
