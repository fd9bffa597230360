-- Duty: drop entries that are not taken, with all that is held of them.
-- KEYS[1] base; ARGV[1] suffixes of the held keys, separated by spaces; [2..] entry ids. Returns how many were dropped.
-- @include ledger
local dropped = 0
for i = 2, #ARGV do
  local entry = ledger_find(ARGV[i])
  if entry and entry.status ~= 'T' then
    redis.call('HINCRBY', base .. ':counts', entry.state .. '|' .. entry.status, -1)
    redis.call('HDEL', base .. ':ids', ARGV[i])
    for _, part in ipairs({ ':heads', ':rows', ':places', ':notes' }) do
      redis.call('HDEL', base .. part, entry.number)
    end
    redis.call('UNLINK', ledger_held(entry))
    for suffix in string.gmatch(ARGV[1], '%S+') do
      redis.call('UNLINK', ledger_held(entry, suffix))
    end
    dropped = dropped + 1
  end
end
return dropped
