-- Duty: remove waiting jobs of one queue, a bounded number per call.
-- KEYS[1] prefix; ARGV[3] the act, [4] queue, [5] how many at most, [6] rank in zset sched from which to look.
-- Returns { removed, rank to go on from or -1 when nothing is left }.
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
local before = answered_before()
if before then
  return before
end
local queue, most, rank = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local looked, removed = 0, 0
must_be_sound()
for level = 9, 0, -1 do
  must_take(level .. ':' .. queue)
end
for level = 9, 0, -1 do
  local list = level .. ':' .. queue
  if looked < most then
    for _, id in ipairs(redis.call('RPOP', P .. 'r:' .. list, most - looked) or {}) do
      looked = looked + 1
      local dead = redis.call('HGET', P .. 'tomb', id)
      if not (dead and is_void(id, list, dead)) and remove_one(id, true) then
        removed = removed + 1
      end
    end
    if redis.call('EXISTS', P .. 'r:' .. list) == 0 then
      redis.call('SREM', P .. 'live', list)
    end
  end
end
if looked < most then
  local ids = redis.call('ZRANGE', P .. 'sched', rank, rank + most - 1)
  for _, id in ipairs(ids) do
    local job = find(id)
    local known = job and kind_of(job.kind)
    if known and known.queue == queue and remove_one(id) then
      removed = removed + 1
    else
      rank = rank + 1
    end
  end
  if #ids < most then
    rank = -1
  end
end
remove_end()
close()
return answered({ removed, rank })
