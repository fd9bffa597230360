-- Duty: read sums of what happened to jobs, some spans at a time.
-- KEYS[1] prefix; ARGV[3] f by the minute, c by the half hour, [4] ms these are kept, [5] the first minute, [6] the one behind the
-- last, [7] what the fields begin with that are wanted, [8] how many spans at most.
-- Returns the minute to go on with, 0 at the end; then for each span its minute and { field, counts, ... }. See add_figures.
-- @include base
-- @include sound
local index, start = P .. 'fig:' .. ARGV[3], ARGV[7]
must_hold('sorted set', 'fig:' .. ARGV[3])
local first = math.max(tonumber(ARGV[5]), math.floor(now / 60000) - tonumber(ARGV[4]) / 60000 + 1)
local last = tonumber(ARGV[6])
local answer = { 0 }
local spans = redis.call(
  'ZRANGEBYSCORE', index, string.format('%.0f', first * 2048), string.format('(%.0f', last * 2048), 'LIMIT', 0, ARGV[8]
)
for _, minute in ipairs(spans) do
  local rows = redis.call('HGETALL', index .. ':' .. minute)
  if start ~= '' then
    local some = {}
    for i = 1, #rows, 2 do
      if string.sub(rows[i], 1, #start) == start then
        some[#some + 1], some[#some + 2] = rows[i], rows[i + 1]
      end
    end
    rows = some
  end
  answer[#answer + 1], answer[#answer + 2] = tonumber(minute), rows
end
if #spans == tonumber(ARGV[8]) then
  answer[1] = tonumber(spans[#spans]) + 1
end
return answer
