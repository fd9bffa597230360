-- Duty: count the members of a list or a sorted set. KEYS[1] the key; ARGV[1] its type. -1: something else lies there.
local found = redis.call('TYPE', KEYS[1]).ok
if found == 'none' then
  return 0
end
if found ~= ARGV[1] then
  return -1
end
return redis.call(found == 'list' and 'LLEN' or 'ZCARD', KEYS[1])
