-- Duty: entries that were taken have been enqueued.
-- KEYS[1] base; ARGV: entry id, note, and so on. Returns how many were marked.
-- @include ledger
local ids, marked = {}, 0
for i = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
local entries = ledger_find_all(ids)
for i = 1, #ARGV, 2 do
  local entry = entries[ARGV[i]]
  if entry and entry.status == 'T' then
    ledger_note(entry, 'E')
    if ARGV[i + 1] ~= '' then
      ledger_add('notes', entry.number, ARGV[i + 1])
    end
    marked = marked + 1
  end
end
ledger_flush()
return marked
