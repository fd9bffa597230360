-- Duty: take from the rates of some keys as often as each is asked for, or say when that will be possible (generic cell
-- rate algorithm, see limiter.py). What is wrong with one key concerns what asks for that key alone.
-- KEYS[i] the theoretical arrival time of a key. ARGV: now (empty: the server's clock), then for each key a text of the
-- spacing, the whole burst, the cost, and how often; all in microseconds but the last two. Returns for each key how often it was
-- allowed, how many more would be allowed after that, and for how long once more is not; or -1, the error, and nothing.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function take(key, spacing, burst, cost, count)
  local kept = redis.pcall('GET', key)
  local arrival = kept and tonumber(kept) or not kept and 0
  if not arrival then
    return -1, kept.err or 'the key holds no number', 0
  end
  local start, step = math.max(arrival, now), spacing * cost
  local allowed = math.max(0, math.min(count, math.floor((burst + now - start) / step)))
  local moved = start + step * allowed
  if allowed > 0 then
    local done = redis.pcall('SET', key, string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000))
    if done.err then
      return -1, done.err, 0
    end
  end
  return allowed, math.floor((burst + now - moved) / spacing), moved + step - burst - now
end

local answers = {}
for i, key in ipairs(KEYS) do
  local spacing, burst, cost, count = string.match(ARGV[i + 1], '(%d+) (%d+) (%d+) (%d+)')
  answers[3 * i - 2], answers[3 * i - 1], answers[3 * i] =
    take(key, tonumber(spacing), tonumber(burst), tonumber(cost), tonumber(count))
end
return answers
