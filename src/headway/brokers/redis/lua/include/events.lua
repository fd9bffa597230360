-- Duty: record life-cycle events in stream ev while somebody watches (key ev:on) or always (flag e).
local EVENTS = string.find(FLAGS, 'e', 1, true) ~= nil or redis.call('EXISTS', P .. 'ev:on') == 1
local events_noted = false

local function event(kind, id, epoch, queue, worker)
  if EVENTS then
    redis.call('XADD', P .. 'ev', 'MAXLEN', '~', 100000, '*',
      'e', kind .. '|' .. id .. '|' .. NOW .. '|' .. epoch, 'q', queue or '', 'w', worker or '')
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
    redis.call('PUBLISH', P .. 'ch:ev', '')
  end
end
