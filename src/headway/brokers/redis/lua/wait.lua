-- Duty: note that a process waits for jobs to finish.
-- KEYS[1] prefix; ARGV[3] token of the process, [4..] ids. Returns 1 for each that is terminal or unknown, else 0 (noted).
-- @include base
-- @include regardless
local over = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  if redis.call('HEXISTS', P .. 'done', id) == 1 or redis.call('HEXISTS', P .. 'j', id) == 0 then
    over[#over + 1] = 1
  else
    local tokens = redis.call('HGET', P .. 'waiters', id)
    if not tokens then
      redis.call('HSET', P .. 'waiters', id, ARGV[3])
    elseif not string.find(tokens, ARGV[3], 1, true) then
      redis.call('HSET', P .. 'waiters', id, tokens .. ' ' .. ARGV[3])
    end
    over[#over + 1] = 0
  end
end
return over
