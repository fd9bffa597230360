-- Duty: progress and log lines of running jobs, under the same fence as settle.
-- KEYS[1] prefix; ARGV[3] log lines kept per job, then for each: id, worker, epoch, P or L, text.
-- Returns a string of 1 (applied) and 0 (superseded). hash prog; set logged; list log:<id>.
-- @include base
-- @include regardless
-- @include header
local keep = tonumber(ARGV[3])
local applied = {}
for i = 4, #ARGV, 5 do
  local id = ARGV[i]
  local text = redis.call('HGET', P .. 'run', id)
  local run = text and parse_run(text)
  if run and run.worker == ARGV[i + 1] and run.epoch == ARGV[i + 2] then
    applied[#applied + 1] = '1'
    if ARGV[i + 3] == 'P' then
      redis.call('HSET', P .. 'prog', id, ARGV[i + 4])
    elseif keep > 0 then
      redis.call('SADD', P .. 'logged', id)
      redis.call('RPUSH', P .. 'log:' .. id, ARGV[i + 4])
      redis.call('LTRIM', P .. 'log:' .. id, -keep, -1)
    end
  else
    applied[#applied + 1] = '0'
  end
end
return table.concat(applied)
