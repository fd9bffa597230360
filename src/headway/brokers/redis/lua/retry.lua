-- Duty: give failed, cancelled or expired jobs a new life with fresh attempts; the epoch goes on.
-- KEYS[1] prefix; ARGV[3] the act, [4..] ids. Returns 1 for each that was, else 0.
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
  local known = job and not job.broken and kind_of(job.kind)
  local lives_elsewhere = job and job.state == 'C' and redis.call('HEXISTS', P .. 'withdrawn', ARGV[i]) == 1
  if known and (job.state == 'F' or job.state == 'C' or job.state == 'X') and not lives_elsewhere then
    must_take(known.list)
    jobs[ARGV[i]] = job
  end
end
local retried = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local job = jobs[id]
  jobs[id] = nil
  local known = job and kind_of(job.kind)
  if known then
    local expires = job.expires ~= '' and tonumber(job.expires) > now and job.expires or ''
    redis.call('ZREM', P .. 'done:' .. job.state, id)
    redis.call('HDEL', P .. 'done', id)
    redis.call('HDEL', P .. 'prog', id)
    count(job.state, job.kind, -1)
    redis.call('HSET', P .. 'm', id, header_text({ kind = job.kind, epoch = job.epoch, attempt = '0', crashes = '0', due = '',
      expires = expires, started = '', history = '' }))
    if expires ~= '' then
      redis.call('ZADD', P .. 'exp', expires, id)
    end
    push_tail(known.list, { id })
    event('retried', id, job.epoch, known.queue, '')
    retried[#retried + 1] = 1
  else
    retried[#retried + 1] = 0
  end
end
close()
return answered(retried)
