-- Duty: which of these jobs there are, and where. KEYS[1] base of the ledger (unused); KEYS[2] the queue's prefix; ARGV ids.
-- Returns for each: '' there is none, else its score among the delayed ones, 'elsewhere', or 'runs'.
local answer = {}
for i, id in ipairs(ARGV) do
  local key, delayed, active = KEYS[2] .. id, KEYS[2] .. 'delayed', KEYS[2] .. 'active'
  if redis.call('TYPE', key).ok ~= 'hash' then
    answer[i] = ''
  elseif redis.call('EXISTS', key .. ':lock') == 1
    or redis.call('TYPE', active).ok == 'list' and redis.call('LPOS', active, id, 'MAXLEN', 10000) then
    answer[i] = 'runs'
  else
    answer[i] = redis.call('TYPE', delayed).ok == 'zset' and redis.call('ZSCORE', delayed, id) or 'elsewhere'
  end
end
return answer
