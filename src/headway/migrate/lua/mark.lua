-- Duty: entries that were taken have been enqueued.
-- KEYS[1] base; ARGV: entry id, note, and so on. Returns how many were marked.
-- @include ledger
local marked = 0
for i = 1, #ARGV, 2 do
  local entry = ledger_find(ARGV[i])
  if entry and entry.status == 'T' then
    ledger_write(entry, 'E')
    if ARGV[i + 1] ~= '' then
      redis.call('HSET', base .. ':notes', entry.number, ARGV[i + 1])
    end
    marked = marked + 1
  end
end
return marked
