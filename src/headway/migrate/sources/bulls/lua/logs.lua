-- Duty: the last lines of a job's log, as far as they fit. KEYS[1] the log. Returns them, oldest first.
local LINES = 1000
local BYTES = 262144
if redis.call('TYPE', KEYS[1]).ok ~= 'list' then
  return {}
end
local kept, bytes = {}, 0
local last = redis.call('LLEN', KEYS[1]) - 1
for at = last, math.max(0, last - LINES + 1), -1 do
  local line = redis.call('LINDEX', KEYS[1], at)
  bytes = bytes + #line
  if bytes > BYTES then
    break
  end
  kept[#kept + 1] = line
end
local lines = {}
for i = #kept, 1, -1 do
  lines[#lines + 1] = kept[i]
end
return lines
