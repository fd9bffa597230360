-- Duty: record life-cycle events in stream ev while somebody watches (key ev:on) or always (flag e). One that cannot be recorded
-- stops no job.
local EVENTS = string.find(FLAGS, 'e', 1, true) ~= nil or redis.call('EXISTS', P .. 'ev:on') == 1
local events_noted = false

local function event(kind, id, epoch, queue, worker, attempt)
  if EVENTS then
    redis.pcall('XADD', P .. 'ev', 'MAXLEN', '~', 100000, '*',
      'e', kind .. '|' .. id .. '|' .. NOW .. '|' .. epoch, 'q', queue or '', 'w', worker or '', 'a', attempt or '')
    events_noted = true
  end
end

local function event_of_kind(kind, id, epoch, number, worker)
  if EVENTS then
    local known = kind_of(number)
    event(kind, id, epoch, known and known.queue, worker)
  end
end

local function events_publish()
  if events_noted then
    redis.pcall('PUBLISH', P .. 'ch:ev', '')
    events_noted = false
  end
end
