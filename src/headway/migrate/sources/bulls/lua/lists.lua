-- Duty: take a job out of a long list and put it back there, without walking through all of it.
-- The right end is where jobs are run next. LREM and LINSERT walk: 100 ns an entry, so not more than REACH of them.
local REACH = 10000
local NEAR = 1000 -- entries that are lifted off the end and laid back

-- Returns where a job is, by index from the left, and how many entries that is from the nearer end; nil: not within reach.
local function list_find(key, id)
  if redis.call('TYPE', key).ok ~= 'list' then
    return nil
  end
  local at = redis.call('LPOS', key, id, 'RANK', -1, 'MAXLEN', REACH)
  if at then
    return at, 'right', redis.call('LLEN', key) - at
  end
  at = redis.call('LPOS', key, id, 'MAXLEN', REACH)
  if at then
    return at, 'left', at + 1
  end
  return nil
end

-- Removes a job. Returns its neighbour on the right, '' when there is none, and how many entries were walked through; nil:
-- it is not within reach.
local function list_take(key, id)
  if redis.pcall('LINDEX', key, -1) == id then
    redis.call('RPOP', key)
    return '', 1
  end
  local at, side, walked = list_find(key, id)
  if not at then
    return nil, REACH
  end
  local right = redis.call('LINDEX', key, at + 1) or ''
  redis.call('LREM', key, side == 'right' and -1 or 1, id)
  return right, walked
end

-- Whether a job of a list may lie where nobody looks for it.
local function list_is_long(key)
  return redis.call('LLEN', key) > 2 * REACH
end

-- Inserts it so that `depth` entries stay to the right of it.
local function list_insert_at(key, id, depth)
  if depth == 0 then
    redis.call('RPUSH', key, id)
    return
  end
  local lifted = redis.call('RPOP', key, depth)
  local back = { id }
  for i = #lifted, 1, -1 do
    back[#back + 1] = lifted[i]
  end
  redis.call('RPUSH', key, unpack(back))
end

-- Inserts it to the left of another one; false when that is not there, or too far from both ends.
local function list_insert_left_of(key, id, other)
  if other == '' then
    return false
  end
  if redis.call('LPOS', key, other, 'MAXLEN', NEAR) then
    redis.call('LINSERT', key, 'BEFORE', other, id)
    return true
  end
  local at = redis.call('LPOS', key, other, 'RANK', -1, 'MAXLEN', NEAR)
  if at then
    list_insert_at(key, id, redis.call('LLEN', key) - at)
    return true
  end
  return false
end

-- What was put back lately, by the numbers of the ledger: the next one goes to the left of those that left before it.
local function list_before(number)
  return redis.call('ZREVRANGEBYSCORE', base .. ':back', '(' .. number, '-inf', 'LIMIT', 0, 1)[1] or ''
end

local function list_note(id, number)
  redis.call('ZADD', base .. ':back', number, id)
  redis.call('PEXPIRE', base .. ':back', 3600000)
end
