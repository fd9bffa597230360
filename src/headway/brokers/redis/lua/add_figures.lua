-- Duty: add what one process has gathered to the sums by the minute and by the half hour, once.
-- KEYS[1] prefix; ARGV[3] source, and which piece of its deltas, [4] number of the delta, [5] ms fine sums are kept, [6] ms coarse ones, [7] rows of a span in
-- which each task stands for itself, [8] rows kept of each kind; then five for each row: minute, its field, the field that
-- stands for further tasks, that for further queues, counts. Returns 1; 0 when this delta, or a later one, is there already.
-- hash fig:f:<minute>, fig:c:<minute>: field (msgpack of queue, task, carrier) -> counts (msgpack, as in figures/values.py).
-- sorted set fig:f, fig:c: minute -> minute * 2048 + rows of its hash. hash fig: f, c -> rows in all.
-- key fig:s:<source>: the number of its last delta. The server forgets each key an hour after the sums are too old.
-- @include base
-- @include sound
local HOUR, PLACES = 3600000, 2048
local SOURCE = P .. 'fig:s:' .. ARGV[3]
if tonumber(redis.call('GET', SOURCE) or '0') >= tonumber(ARGV[4]) then
  return 0
end
must_hold('hash', 'fig')
must_hold('sorted set', 'fig:f')
must_hold('sorted set', 'fig:c')
local most, most_kept = tonumber(ARGV[7]), tonumber(ARGV[8])
local present = math.floor(now / 60000)
redis.call('SET', SOURCE, ARGV[4], 'PX', ARGV[5])

-- Two histograms: lists of { bucket, number }, ascending, each the only member of another list.
local function both(one, other)
  local sum, i, j = {}, 1, 1
  one, other = one[1], other[1]
  while one[i] or other[j] do
    local a, b = one[i], other[j]
    if not b or a and a[1] < b[1] then
      sum[#sum + 1], i = a, i + 1
    elseif not a or b[1] < a[1] then
      sum[#sum + 1], j = b, j + 1
    else
      sum[#sum + 1], i, j = { a[1], a[2] + b[2] }, i + 1, j + 1
    end
  end
  return { sum }
end

local function added(text, counts)
  local known, sum = pcall(cmsgpack.unpack, text)
  if not known or type(sum) ~= 'table' or #sum ~= #counts then
    return counts -- damaged: it begins anew
  end
  for n = 1, 7 do
    sum[n] = sum[n] + counts[n]
  end
  sum[8], sum[9] = both(sum[8], counts[8]), both(sum[9], counts[9])
  return sum
end

local function add(kind, minute, first, counts)
  local key, field = P .. 'fig:' .. kind .. ':' .. minute, ARGV[first + 1]
  local text = redis.call('HGET', key, field)
  if not text then
    local size = redis.call('HLEN', key)
    if size >= most then
      field = ARGV[first + 2]
      text = redis.call('HGET', key, field)
      if not text and size >= 2 * most then
        field = ARGV[first + 3]
        text = redis.call('HGET', key, field)
      end
    end
  end
  redis.call('HSET', key, field, cmsgpack.pack(text and added(text, counts) or counts))
end

local function count(kind, minute, kept)
  local key, index = P .. 'fig:' .. kind .. ':' .. minute, P .. 'fig:' .. kind
  local rows = redis.call('HLEN', key)
  local before = (redis.call('ZSCORE', index, minute) or 0) % PLACES
  redis.call('ZADD', index, string.format('%.0f', minute * PLACES + rows), minute)
  redis.call('HINCRBY', P .. 'fig', kind, rows - before)
  redis.call('PEXPIRE', key, string.format('%.0f', kept + HOUR))
end

local function drop_old(kind, minutes)
  local index = P .. 'fig:' .. kind
  while true do
    local oldest = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
    local minute = tonumber(oldest[1])
    local over = tonumber(redis.call('HGET', P .. 'fig', kind) or '0') > most_kept
    if not minute or (minute > present - minutes and not (over and minute < present - 60)) then
      return
    end
    redis.call('DEL', index .. ':' .. oldest[1])
    redis.call('ZREM', index, oldest[1])
    redis.call('HINCRBY', P .. 'fig', kind, -(oldest[2] % PLACES))
  end
end

for kind, span in pairs({ f = { 1, tonumber(ARGV[5]) }, c = { 30, tonumber(ARGV[6]) } }) do
  local minutes, touched = span[2] / 60000, {}
  for first = 9, #ARGV, 5 do
    local minute = math.min(tonumber(ARGV[first]), present) -- a clock may be ahead
    minute = minute - minute % span[1]
    if minute > present - minutes then
      add(kind, string.format('%.0f', minute), first, cmsgpack.unpack(ARGV[first + 4]))
      touched[minute] = true
    end
  end
  for minute in pairs(touched) do
    count(kind, string.format('%.0f', minute), span[2])
  end
  drop_old(kind, minutes)
  redis.call('PEXPIRE', P .. 'fig:' .. kind, string.format('%.0f', span[2] + HOUR))
end
redis.call('PEXPIRE', P .. 'fig', string.format('%.0f', tonumber(ARGV[6]) + HOUR))
return 1
