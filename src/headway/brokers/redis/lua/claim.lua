-- Duty: hand out ready jobs under leases of one worker; before that, what is due (maintain).
-- KEYS[1] prefix
-- ARGV[3] worker, [4] limit (0: it wants no more, and is to be woken no more), [5] lease ms, [6] claim number (rising per worker),
--         [7] class of the wanted queues,
--         [8] "" or, of a worker that takes jobs by message: the claim number under which it took the last one, 0: none,
--         [9] the wanted queues in order of preference: bytes of the name, colon, name,
--         [10..] queue, limit pairs of those that are to give fewer than the others.
-- hash hand: worker -> claim|lease ms|class while it is idle, claim|!id after a job was handed over to it (enqueue_plain.lua)
-- under that claim. A message is good until the worker's next claim is sent; that claim tells whether it arrived, and
-- otherwise hands the job out itself.
-- Returns { ms until there is more to do or -1, ids, blobs, headers, kinds }: the ids in one string if each has 20 bytes, else one
-- by one; headers as in hash m after the claim, or false for a fresh job (epoch 1, attempt 1), and none at all when all are
-- fresh; of the kinds first the generation of their numbers, then number and text of each there is.
-- A repeat (flag r) hands out again what the first call took, if it took anything.
-- @include base
-- @include regardless
-- @include sound
-- @include kinds
-- @include noted
-- @include events
-- @include wake
-- @include idle
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include giveback
-- @include lists
-- @include places
-- @include jump
-- @include maintain
-- @include close
local worker, limit, lease = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local hand = ARGV[8]
local claim, class = ARGV[6], ARGV[7]
local MOST_POPS = 5000 -- tombstones met in one call; the rest waits for the next

local did = maintain()
local more = did.promoted >= BOUND or did.expired >= BOUND
local other_lease = math.huge
-- An idle worker's claim makes no call in vain: INFO counts those of scripts as well.
local leases = did.lease == math.huge and {} or redis.call('ZRANGE', P .. 'leases', 0, 1, 'WITHSCORES')
for i = 1, #leases, 2 do
  if leases[i] ~= worker then
    other_lease = tonumber(leases[i + 1])
    break
  end
end

local ID = 20 -- bytes

local function joined(ids)
  for _, id in ipairs(ids) do
    if #id ~= ID then
      return ids
    end
  end
  return table.concat(ids)
end

local function answer(ids, blobs, headers)
  local next_ms = more and now or math.min(did.due, did.expiry, other_lease)
  close()
  return { next_ms == math.huge and -1 or math.max(0, next_ms - now), joined(ids), blobs, headers, kinds_noted() }
end

if AGAIN then
  local mine = {}
  for _, item in ipairs(runs_of({ [worker] = true }, nil)) do
    if item.run.claim == claim then
      mine[#mine + 1] = item
    end
  end
  if #mine > 0 then
    table.sort(mine, claimed_before)
    local ids, blobs, headers = {}, {}, {}
    for i, item in ipairs(mine) do
      ids[i] = item.id
    end
    local stored, old = gather('HMGET', P .. 'j', ids), gather('HMGET', P .. 'm', ids)
    ids = {}
    for i, item in ipairs(mine) do
      if stored[i] then -- else it was removed behind our back
        local place, run = #ids + 1, item.run
        local job = old[i] and parse_header(old[i]) or { due = '', expires = '', history = '' }
        job.kind, job.epoch, job.attempt, job.crashes, job.started = run.kind, run.epoch, run.attempt, run.crashes, run.started
        note_kind(run.kind)
        ids[place], blobs[place], headers[place] = item.id, stored[i], header_text(job)
      end
    end
    return answer(ids, blobs, headers)
  end
end

local own_limits = {}
for i = 10, #ARGV, 2 do
  own_limits[ARGV[i]] = tonumber(ARGV[i + 1])
end

local taken, taken_blobs, taken_headers, taken_queues = {}, {}, {}, {}
local revived = false -- one of those taken has a header
local handed = 0 -- how many of those taken were leased to this worker already
local popped, popped_from, dropped = {}, {}, 0
local rounds = {} -- all that was popped, should it have to go back

local buried = redis.call('HLEN', P .. 'tomb') > 0 and must_hold('hash', 'tombs') > 0
local pops = 0

-- Note the ids that are no tombstones; tell how many. source: the list they came from, { queue }, to which take adds the prefix
-- of the blob of its last job, with that job's kind and what its run record begins with: most jobs of a list have the same.
local function keep(ids, source)
  local tombs = buried and gather('HMGET', P .. 'tomb', ids) or {}
  local kept = #popped
  for i, id in ipairs(ids) do
    -- Asked for anew where it said void: the id may stand here twice.
    local void = tombs[i] and redis.call('HGET', P .. 'tomb', id)
    if not (void and is_void(id, source.list, void)) then
      local place = #popped + 1
      popped[place], popped_from[place] = id, source
    end
  end
  return #popped - kept
end

-- Fill up from one list before the next is touched, however many tombstones are in the way.
local function pop(level, queue, most)
  local list, got = level .. ':' .. queue, 0
  local key = P .. 'r:' .. list
  local source = { queue = queue, list = list }
  repeat
    local ids = redis.call('RPOP', key, most - got) or {}
    pops = pops + #ids
    got = got + keep(ids, source)
  until got == most or #ids == 0 or pops > MOST_POPS
  if redis.call('EXISTS', key) == 0 then
    redis.call('SREM', P .. 'live', list)
    local left = string.gsub(lists[queue], level, '')
    lists[queue] = left ~= '' and left or nil
  end
  return got
end

local function pop_wanted()
  popped, popped_from = {}, {}
  rounds[#rounds + 1] = { ids = popped, from = popped_from }
  local room = limit + handed - #taken
  for queue in wanted_queues() do
    if room <= 0 then
      return
    end
    local levels = levels_of(queue)
    if levels then
      local own = own_limits[queue]
      local most = own and math.min(room, own - (taken_queues[queue] or 0)) or room
      for _, priority in ipairs(PRIORITIES) do
        if most > 0 and string.find(levels, priority, 1, true) then
          local got = pop(priority, queue, most)
          most, room = most - got, room - got
        end
      end
    end
  end
end

-- The wanted queues in which jobs were left.
local function queues_behind()
  read_lists()
  local behind = {}
  for queue in wanted_queues() do
    if lists[queue] then
      behind[#behind + 1] = queue
    end
  end
  return behind
end

local function bury(id, job, reason)
  job = job or { kind = '0', epoch = '0', attempt = '0', crashes = '0', due = '', expires = '', started = '', history = '' }
  redis.call('ZREM', P .. 'exp', id)
  finish(id, 'F', job, '', reason, '')
end

local new_run, gone_exp = {}, {}
local CLAIMED, BY = '|' .. NOW .. '|' .. claim .. '|', '|' .. worker

-- A job that has a header: it was here before, or it can expire. nil when it is not to be handed out.
local function revive(id, kind, header, place)
  local job = parse_header(header)
  if not job then
    bury(id, fresh_header(kind .. ':'), 'its record cannot be read: the stored bytes are damaged')
    return nil
  end
  if job.expires ~= '' then
    gone_exp[#gone_exp + 1] = id
    if tonumber(job.expires) <= now then
      finish(id, 'X', job, '', '', '')
      return nil
    end
  end
  job.epoch = string.format('%.0f', job.epoch + 1)
  job.attempt = string.format('%.0f', job.attempt + 1)
  job.started = NOW
  return job, kind .. '|' .. job.epoch .. '|' .. job.attempt .. '|' .. job.crashes .. CLAIMED .. high_digits(place)
    .. digit(place % BASE) .. BY
end

-- The kind that a blob begins with; nil when it is damaged.
local function kind_in(blob, source)
  local prefix = source.prefix
  if not prefix or string.sub(blob, 1, #prefix) ~= prefix then
    local kind = string.match(blob, '^(%d+):')
    if not kind then
      return nil
    end
    note_kind(kind)
    source.prefix, source.kind, source.high = kind .. ':', kind, nil
  end
  return source.kind
end

-- The run record of a fresh job: all but the last digit of its place is that of the one before, mostly.
local function fresh_run(source, place)
  local low = place % BASE
  if not source.high or source.till <= place then
    source.high = source.kind .. '|1|1|0' .. CLAIMED .. high_digits(place)
    source.till = place - low + BASE
  end
  return source.high .. digit(low) .. BY
end

local function take(id, source, blob, header)
  local kind, place = kind_in(blob, source), #taken + 1
  local job, run
  if not kind then
    bury(id, nil, 'its record cannot be read: the stored bytes are damaged')
  elseif header then
    job, run = revive(id, kind, header, place)
  else
    run = fresh_run(source, place)
  end
  if not run then
    dropped = dropped + 1
    return
  end
  local queue = source.queue
  new_run[2 * place - 1], new_run[2 * place] = id, run
  taken[place], taken_blobs[place], taken_headers[place] = id, blob, job and header_text(job) or false
  revived = revived or job ~= nil
  taken_queues[queue] = (taken_queues[queue] or 0) + 1
  if EVENTS and job then
    event('started', id, job.epoch, queue, worker, job.attempt)
  elseif EVENTS and not event_again(id, source.told) then
    source.told = event('started', id, '1', queue, worker, '1')
  end
end

-- Hand out what a message did not bring.
local function take_unheard(offer)
  local tag, id = string.match(offer, '^(%d+)|!(.*)$')
  if not tag or tag == claim or tag == hand then
    return
  end
  local text = redis.call('HGET', P .. 'run', id)
  local run = text and parse_run(text)
  local blob = redis.call('HGET', P .. 'j', id)
  if blob and run and run.worker == worker and run.claim == string.format('%.0f', tag + 1) then
    -- Under the number of this claim: a repeat of it hands it out again.
    handed = 1
    note_kind(run.kind)
    local known = kind_of(run.kind)
    if known then
      taken_queues[known.queue] = 1
    end
    new_run[1], new_run[2] = id, run.kind .. '|1|1|0|' .. run.started .. '|' .. claim .. '|001' .. BY
    taken[1], taken_blobs[1], taken_headers[1] = id, blob, false
  end
end

local lease_begins, counted = false, false
local function hand_out()
  local offer = hand ~= '' and redis.call('HGET', P .. 'hand', worker) or nil
  if offer then
    take_unheard(offer)
  end
  local stands = offer and string.sub(offer, 1, #claim + 1) == claim .. '|' -- this is a repeat, and it was applied

  repeat
    pop_wanted()
    dropped = 0
    if #popped > 0 then
      local blobs = gather('HMGET', P .. 'j', popped)
      local headers = gather_if_any(P .. 'm', popped) or {}
      for i, id in ipairs(popped) do
        if blobs[i] then
          take(id, popped_from[i], blobs[i], headers[i])
        else
          dropped = dropped + 1 -- removed behind our back
        end
      end
    end
  until dropped == 0 or pops > MOST_POPS

  if #finished_ids > 0 then
    must_be_sound() -- some expired, or cannot be read: they end here
  end
  more = more or pops > MOST_POPS
  if #taken > 0 then
    variadic('HSET', P .. 'run', new_run)
    redis.call('HINCRBY', P .. 'holds', worker, #taken - handed)
    counted = true
    lease_begins = redis.call('ZADD', P .. 'leases', string.format('%.0f', now + lease), worker) == 1
  end
  -- It could take more of each queue that it wants, so each may wake it.
  local idle = #taken - handed < limit
  if idle and #taken > 0 then
    for queue, most in pairs(own_limits) do
      if most < limit and taken_queues[queue] == most then
        idle, more = false, true -- that queue's own limit is reached: it claims again at once, without it
      end
    end
  end
  -- Whoever left jobs behind passes the word on; it must not wake itself.
  local was, left = stop_idling(worker, class, #taken > 0 or not idle)
  if limit == 0 then
    wake_for(ready_queues()) -- a wake-up that found it full, or about to leave, is not to be lost
  elseif #taken > 0 and somebody_idles() then
    wake_for(queues_behind())
  end
  -- One idle worker has to know when this lease ends, should this host die: its claim tells it. One in the time of a lease
  -- is enough: it comes back for as long as it finds leases.
  if lease_begins and redis.call('SET', P .. 'watched', '1', 'PX', string.format('%.0f', lease), 'NX') then
    for queue in pairs(taken_queues) do
      wake(queue)
    end
  end
  if idle and hand ~= '' and not stands then
    redis.call('HSET', P .. 'hand', worker, claim .. '|' .. ARGV[5] .. '|' .. class)
  elseif offer and not stands then
    redis.call('HDEL', P .. 'hand', worker)
  end
  if idle then
    start_idling(worker, class, was, left)
  end
  if #gone_exp > 0 then
    variadic('ZREM', P .. 'exp', gone_exp)
    did.expiry = head(P .. 'exp')
  end
  return answer(taken, taken_blobs, revived and taken_headers or {})
end

-- Something could not be done: a key is damaged, or the user of the URL lacks a permission. Nothing that was popped may be lost.
local function put_back()
  for i = handed + 1, #taken do
    redis.pcall('HDEL', P .. 'run', taken[i])
  end
  if counted and redis.pcall('HINCRBY', P .. 'holds', worker, handed - #taken) == 0 then
    redis.pcall('HDEL', P .. 'holds', worker)
  end
  if lease_begins then
    redis.pcall('ZREM', P .. 'leases', worker)
  end
  for r = #rounds, 1, -1 do
    local ids, from = rounds[r].ids, rounds[r].from
    for i = #ids, 1, -1 do
      if redis.pcall('HEXISTS', P .. 'done', ids[i]) ~= 1 then
        redis.pcall('RPUSH', P .. 'r:' .. from[i].list, ids[i])
        redis.pcall('SADD', P .. 'live', from[i].list)
      end
    end
  end
end

local fine, result = pcall(hand_out)
if not fine then
  put_back()
  error(result, 0)
end
return result
