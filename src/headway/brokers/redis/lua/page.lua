-- Duty: ids of one source in a stable order, behind a position.
-- KEYS[1] prefix; ARGV[3] source: S, F, C, X (newest first), D (by due time), R (by id), or Q followed by a ready list's name;
--         [4] position after which to go on, "" for the start; [5] how many.
-- Returns { position to go on from, "" when that was all, ids }.
-- @include base
local source, after, size = string.sub(ARGV[3], 1, 1), ARGV[4], tonumber(ARGV[5])

local function cut(ids, position)
  return { #ids < size and '' or position, ids }
end

if source == 'S' then
  local base = tonumber(redis.call('GET', P .. 'done:base')) or 0
  local last = redis.call('LLEN', P .. 'done:S') - 1
  if after ~= '' then
    last = math.min(last, tonumber(after) - base - 1)
  end
  if last < 0 then
    return { '', {} }
  end
  local first = math.max(0, last - size + 1)
  local turned = redis.call('LRANGE', P .. 'done:S', first, last)
  local ids = {}
  for i = #turned, 1, -1 do
    ids[#ids + 1] = turned[i]
  end
  return cut(ids, string.format('%.0f', base + first))
end

local STEPS = 1000000 -- entries passed in search of the one that counts, in one call; then the page ends early

-- Entries of a ready list without the void ones. Of a job that came back only the last one counts, nearest to the left end.
local function standing(key, ids, skip)
  local tombs = gather_if_any(P .. 'tomb', ids)
  if not tombs then
    return ids, #ids
  end
  local length, steps, found = redis.call('LLEN', key), 0, {}
  for i, id in ipairs(ids) do
    local stands = not tombs[i]
    if not stands and redis.call('HEXISTS', P .. 'done', id) == 0 and redis.call('HEXISTS', P .. 'j', id) == 1 then
      local last = redis.call('LPOS', key, id)
      stands = last == length - skip - i
      steps = steps + (last or 0)
    end
    if stands then
      found[#found + 1] = id
    end
    if steps > STEPS then
      return found, i
    end
  end
  return found, #ids
end

if source == 'Q' then
  local key = P .. 'r:' .. string.sub(ARGV[3], 2)
  local skip = after == '' and 0 or tonumber(after)
  local turned = redis.call('LRANGE', key, -skip - size, -skip - 1)
  local ids = {}
  for i = #turned, 1, -1 do
    ids[#ids + 1] = turned[i]
  end
  local found, looked = standing(key, ids, skip)
  return { #ids < size and looked == #ids and '' or string.format('%.0f', skip + looked), found }
end

if source == 'R' then
  local ids = redis.call('HKEYS', P .. 'run')
  table.sort(ids)
  local found = {}
  for _, id in ipairs(ids) do
    if id > after and #found < size then
      found[#found + 1] = id
    end
  end
  return cut(found, found[#found])
end

-- Sorted sets: a position is score:id. When that member is gone, its score tells the place.
local key = source == 'D' and P .. 'sched' or P .. 'done:' .. source
local rank = 0
if after ~= '' then
  local score, id = string.match(after, '^([^:]*):(.*)$')
  if source == 'D' then
    rank = redis.call('ZRANK', key, id)
    rank = rank and rank + 1 or redis.call('ZCOUNT', key, '-inf', '(' .. score)
  else
    rank = redis.call('ZREVRANK', key, id)
    rank = rank and rank + 1 or redis.call('ZCOUNT', key, '(' .. score, '+inf')
  end
end
local list = redis.call(source == 'D' and 'ZRANGE' or 'ZREVRANGE', key, rank, rank + size - 1, 'WITHSCORES')
local ids, position = {}, ''
for i = 1, #list, 2 do
  ids[#ids + 1] = list[i]
  position = list[i + 1] .. ':' .. list[i]
end
return cut(ids, position)
