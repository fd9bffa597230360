-- Duty: record life-cycle events in stream ev while somebody watches (key ev:on) or always (flag e). One that cannot be recorded
-- stops no job. Events that follow each other and differ in their job alone share an entry, 32 at most: one command costs more than
-- all else about an event. They are written when the script ends.
local EVENTS = string.find(FLAGS, 'e', 1, true) ~= nil or redis.call('EXISTS', P .. 'ev:on') == 1
local SHARED = 32
local events_noted = false
local event_like, event_ids, event_count = nil, {}, 0 -- what the next entry says, and its jobs

local function events_write()
  local one = event_like
  if one then
    event_like = nil
    redis.pcall('XADD', P .. 'ev', 'MAXLEN', '~', 100000, '*',
      'e', one.kind .. '|' .. event_ids[1] .. '|' .. NOW .. '|' .. one.epoch, 'q', one.queue, 'w', one.worker, 'a', one.attempt,
      'i', table.concat(event_ids, ' ', 2))
    event_ids, event_count = {}, 0
  end
end

-- One more like that which `event` returned; false when it is to be called again.
local function event_again(id, like)
  if not like or like ~= event_like or event_count == SHARED then
    return false
  end
  event_count = event_count + 1
  event_ids[event_count] = id
  return true
end

local function event(kind, id, epoch, queue, worker, attempt)
  if not EVENTS then
    return
  end
  queue, worker, attempt = queue or '', worker or '', attempt or ''
  local one = event_like
  if one and (event_count == SHARED or one.kind ~= kind or one.epoch ~= epoch or one.queue ~= queue or one.worker ~= worker
    or one.attempt ~= attempt) then
    events_write()
    one = nil
  end
  if not one then
    event_like = { kind = kind, epoch = epoch, queue = queue, worker = worker, attempt = attempt }
  end
  event_count = event_count + 1
  event_ids[event_count] = id
  events_noted = true
  return event_like
end

local function event_of_kind(kind, id, epoch, number, worker)
  if EVENTS then
    local known = kind_of(number)
    return event(kind, id, epoch, known and known.queue, worker)
  end
end

local function events_publish()
  if events_noted then
    events_write()
    redis.pcall('PUBLISH', P .. 'ch:ev', '')
    events_noted = false
  end
end
