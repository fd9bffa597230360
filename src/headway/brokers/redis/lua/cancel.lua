-- Duty: cancel waiting jobs at once, ask the workers of running ones.
-- KEYS[1] prefix; ARGV[3] reason, [4..] ids. Returns the state letter of each afterwards, or "" for an unknown one.
-- hash creq: id -> reason, while a cancel request for a running job is open.
-- @include base
-- @include regardless
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include close
must_be_sound()
local states = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local job = find(id)
  if not job then
    states[#states + 1] = ''
  elseif job.state == 'R' then
    redis.call('HSET', P .. 'creq', id, ARGV[3])
    redis.call('PUBLISH', P .. 'ch:w:' .. job.worker, 'C' .. id)
    states[#states + 1] = 'R'
  elseif job.state == 'D' or job.state == 'Q' then
    finish_waiting(id, job, 'C', ARGV[3])
    write_finished()
    states[#states + 1] = 'C'
  else
    states[#states + 1] = job.state
  end
end
close()
return states
