-- Duty: make scheduled jobs ready now, held ones too.
-- KEYS[1] prefix; ARGV[3] the act, [4..] ids. Returns 1 for each that was scheduled, else 0.
-- @include base
-- @include regardless
-- @include act
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include close
local before = answered_before()
if before then
  return before
end
must_be_sound()
local jobs = {}
for i = 4, #ARGV do
  local job = find(ARGV[i])
  local known = job and job.state == 'D' and kind_of(job.kind)
  if known then
    must_take(known.list)
    jobs[ARGV[i]] = job
  end
end
local promoted = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local job = jobs[id]
  jobs[id] = nil
  local known = job and kind_of(job.kind)
  if known then
    if job.held then
      local key = redis.call('HGET', P .. 'uof', id)
      if key and redis.call('HGET', P .. 'uh', key) == id then
        redis.call('HDEL', P .. 'uh', key)
      end
    end
    redis.call('ZREM', P .. 'sched', id)
    count('D', job.kind, -1)
    push_tail(known.list, { id })
    promoted[#promoted + 1] = 1
  else
    promoted[#promoted + 1] = 0
  end
end
close()
return answered(promoted)
