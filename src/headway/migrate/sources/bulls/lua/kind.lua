-- Duty: tell whose queue it is: both libraries have the same prefix, unless they are told another.
-- KEYS[1] base of the ledger (unused); KEYS[2] the queue's prefix. Returns the word of the library.
local meta = KEYS[2] .. 'meta'
if redis.call('TYPE', KEYS[2] .. 'events').ok == 'stream'
  or redis.call('TYPE', meta).ok == 'hash' and redis.call('HEXISTS', meta, 'opts.maxLenEvents') == 1 then
  return 'bullmq'
end
return 'bull'
