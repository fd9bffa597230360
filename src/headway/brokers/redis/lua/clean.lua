-- Duty: remove old jobs of one terminal state, oldest first, a bounded number per call.
-- KEYS[1] prefix; ARGV[3] the act, [4] state letter, [5] ms since they finished, [6] queue or "", [7] how many to look at, [8] how many
--         to remove, [9] place from which to look.
-- Returns { removed, place to go on from or -1 when nothing is left }.
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
-- @include removal
-- @include close
local said = answered_before()
if said then
  return said
end
local state, before, queue = ARGV[4], now - tonumber(ARGV[5]), ARGV[6]
local look, most, place = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
must_be_sound()
local ids
if state == 'S' then
  ids = redis.call('LRANGE', P .. 'done:S', place, place + look - 1)
else
  ids = redis.call('ZRANGE', P .. 'done:' .. state, place, place + look - 1)
end
local more = #ids == look
local removed = 0
for _, id in ipairs(ids) do
  local job = find(id)
  local known = job and kind_of(job.kind)
  if job and job.state == state and tonumber(job.finished or '0') >= before then
    more = false
    break
  end
  local fits = job and job.state == state and (queue == '' or (known and known.queue == queue))
  if fits and removed < most and remove_one(id) then
    removed = removed + 1
    if state == 'S' then
      if place == 0 then
        redis.call('LPOP', P .. 'done:S')
        redis.call('INCRBY', P .. 'done:base', 1)
        redis.call('DECRBY', P .. 'done:stale', 1)
      else
        place = place + 1 -- its entry stays until it is the oldest
      end
    end
  else
    place = place + 1
  end
end
remove_end()
close()
return answered({ removed, more and removed < most and place or -1 })
