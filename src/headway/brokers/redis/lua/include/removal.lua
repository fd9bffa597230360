-- Duty: take jobs out of wherever they are, and forget them.
local removal_ids, removal_seen = {}, {}

local function remove_one(id, in_list)
  local job = not removal_seen[id] and find(id)
  if not job or job.state == 'R' then
    return false
  end
  removal_seen[id] = true
  if job.state == 'Q' then
    local known = kind_of(job.kind)
    if known and not in_list then
      entomb(id, known.list)
    end
  elseif job.state == 'D' then
    redis.call('ZREM', P .. 'sched', id)
    count('D', job.kind, -1)
  elseif job.state == 'S' then
    count('S', job.kind, -1)
    redis.call('INCRBY', P .. 'done:stale', 1)
  else
    if redis.call('ZREM', P .. 'done:' .. job.state, id) == 1 then
      count(job.state, job.kind, -1)
    end
  end
  if job.expires and job.expires ~= '' then
    redis.call('ZREM', P .. 'exp', id)
  end
  removal_ids[#removal_ids + 1] = id
  event_of_kind('removed', id, job.epoch, job.kind, '')
  return true
end

local function remove_end()
  forget(removal_ids)
  removal_ids = {}
end
