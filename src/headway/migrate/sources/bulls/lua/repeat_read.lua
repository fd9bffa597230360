-- Duty: read repeating entries. KEYS[1] base of the ledger (unused); KEYS[2] the queue's prefix; ARGV[1] rank of the first,
-- ARGV[2] how many. Returns for each: key, score, seal, field, field ...
-- @include entry
local answer = {}
if redis.call('TYPE', KEYS[2] .. 'repeat').ok ~= 'zset' then
  return answer
end
local found = redis.call('ZRANGE', KEYS[2] .. 'repeat', ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local fields = entry_read(KEYS[2], found[i])
  answer[#answer + 1] = { found[i], found[i + 1], entry_seal(fields), unpack(fields) }
end
return answer
