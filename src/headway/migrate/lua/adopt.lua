-- Duty: go on with entries that somebody else has taken, long ago; keep those of one's own.
-- KEYS[1] base; ARGV[1] who goes on, [2] ms that an entry of another must have been taken before; [3..] entry ids.
-- Returns for each 1: it is with the caller now, or 0.
-- @include ledger
local adopted, entries = {}, ledger_find_all({ unpack(ARGV, 3) })
for i = 3, #ARGV do
  local entry = entries[ARGV[i]]
  local mine = entry and entry.status == 'T'
    and (entry.taker == ARGV[1] or tonumber(now) - tonumber(entry.since) >= tonumber(ARGV[2]))
  if mine then
    ledger_note(entry, 'T', ARGV[1])
  end
  adopted[#adopted + 1] = mine and 1 or 0
end
ledger_flush()
return adopted
