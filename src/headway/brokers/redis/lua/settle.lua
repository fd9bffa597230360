-- Duty: apply the outcome of each delivery that this worker holds under its epoch; refuse the others.
-- KEYS[1] prefix
-- ARGV[3] worker, [4] the ids of those that succeeded under epoch 1 without a result, of 20 characters each, in one string; then
--         for each of the others: id, epoch and outcome, data. Outcomes: S result; F history; B reason (a record nobody can read);
--         C reason; X; L (released); R<ms> history and r<ms> history (retry at; r: the attempt is given back).
-- Returns a string of 1 (applied) and 0 (superseded), in this order. A repeat (flag r) answers 1 for what the first call did.
-- @include base
-- @include regardless
-- @include sound
-- @include kinds
-- @include events
-- @include wake
-- @include ready
-- @include header
-- @include unique
-- @include finish
-- @include giveback
-- @include close
local worker = ARGV[3]
local ID = 20 -- characters
local plain = math.floor(#ARGV[4] / ID) -- how many: the first of ids
local ids = {}
for i = 1, plain do
  ids[i] = string.sub(ARGV[4], ID * i - ID + 1, ID * i)
end
for i = 5, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
end

-- Epoch and outcome of one of ids, and its data.
local function outcome_of(i)
  if i <= plain then
    return '1S', ''
  end
  local at = 3 * (i - plain) + 3
  return ARGV[at], ARGV[at + 1]
end

local runs = gather('HMGET', P .. 'run', ids)
plain_end = redis.call('EXISTS', P .. 'm', P .. 'creq', P .. 'uof', P .. 'waiters') == 0
local headers = not plain_end and gather_if_any(P .. 'm', ids) or {}
local asked = not plain_end and gather_if_any(P .. 'creq', ids) or {}
local applied, gone, released, seen = {}, {}, {}, {}
local new_m, new_sched, new_exp = {}, {}, {}

-- Whether an earlier sending of this very call did it.
local function done_before(id, epoch, code)
  local job = find(id)
  if not job or job.epoch ~= epoch then
    return false
  end
  if code == 'R' or code == 'r' then
    return job.state == 'D' or job.state == 'Q' or job.state == 'C'
  end
  if code == 'L' then
    return job.state == 'Q' or job.state == 'C'
  end
  return job.state == (code == 'B' and 'F' or code)
end

local function retry(id, job, run, code, due, history)
  if code == 'r' then
    job.attempt = string.format('%.0f', job.attempt - 1)
  end
  local known = kind_of(job.kind)
  local later = tonumber(due) > now
  job.history, job.due = history, later and due or ''
  new_m[#new_m + 1] = id
  new_m[#new_m + 1] = header_text(job)
  if job.expires ~= '' then
    new_exp[#new_exp + 1] = job.expires
    new_exp[#new_exp + 1] = id
  end
  if later then
    new_sched[#new_sched + 1] = due
    new_sched[#new_sched + 1] = id
    count('D', job.kind, 1)
  elseif known then
    push_tail(known.list, { id })
  end
  event('retry', id, job.epoch, known and known.queue, worker)
end

local function apply(i, id, run, code, due, data)
  if code == 'L' then
    released[#released + 1] = { id = id, run = run, crashed = false }
    return
  end
  local job = headers[i] and parse_header(headers[i]) or { due = '', expires = '', history = '' }
  job.kind, job.epoch, job.attempt, job.crashes, job.started = run.kind, run.epoch, run.attempt, run.crashes, run.started
  if code == 'S' then
    finish(id, 'S', job, worker, '', data)
  elseif code == 'F' then
    job.history = data
    finish(id, 'F', job, worker, '', '')
  elseif code == 'B' then
    finish(id, 'F', job, worker, data, '')
  elseif code == 'C' then
    finish(id, 'C', job, worker, data ~= '' and data or asked[i] or '', '')
  elseif code == 'X' then
    finish(id, 'X', job, worker, '', '')
  elseif asked[i] then
    job.history = data
    finish(id, 'C', job, worker, asked[i], '')
  else
    retry(id, job, run, code, due, data)
  end
end

local mine, refused = {}, {}
local TAIL = '|' .. NOW .. '|' .. #worker .. '|0|'
local BARE_END = '0|' .. worker -- of the record of a job without a result
local SUCCEEDED = 83 -- the letter S
local fresh_kinds = {}
local fresh_runs = {} -- run record up to the place -> what apply_fresh needs of it; the jobs of a claim share a few
local BY = '|' .. worker
local BEHIND = 3 + #BY -- the place and the worker

local function read_fresh(text)
  local kind, epoch, attempt, crashes, started, holder =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|%d+|%w+|(.*)$')
  if holder ~= worker then
    return nil
  end
  local head = 'S|' .. kind .. '|' .. epoch .. '|' .. attempt .. '|' .. crashes .. '|||' .. started .. TAIL
  return { kind = kind, epoch = epoch, outcome = epoch .. 'S', head = head, bare = head .. BARE_END }
end

-- A fresh job that succeeded needs no table and no further look; true when it was one.
local function apply_fresh(i, id)
  local text = runs[i]
  if not text or headers[i] or seen[id] then
    return false
  end
  local outcome, result = '1S', ''
  if i > plain then
    outcome, result = outcome_of(i)
    if string.byte(outcome, -1) ~= SUCCEEDED then
      return false
    end
  end
  if string.sub(text, -#BY) ~= BY then
    return false
  end
  local shared = string.sub(text, 1, -BEHIND - 1)
  local run = fresh_runs[shared]
  if not run then
    run = read_fresh(text)
    fresh_runs[shared] = run
  end
  if not run or run.outcome ~= outcome then
    return false
  end
  seen[id] = true
  applied[i] = '1'
  gone[#gone + 1] = id
  fresh_kinds[run.kind] = (fresh_kinds[run.kind] or 0) + 1
  finish_fresh(id, result == '' and run.bare or run.head .. #result .. '|' .. worker .. result)
  if EVENTS and not event_again(id, run.told) then
    run.told = event_of_kind('succeeded', id, run.epoch, run.kind, worker)
  end
  return true
end

local function judge(i, id)
  local outcome, data = outcome_of(i)
  local epoch, code, due = string.match(outcome, '^(%d+)(%a)(%-?%d*)$')
  local run = runs[i] and not seen[id] and parse_run(runs[i])
  if run and run.worker == worker and run.epoch == epoch then
    seen[id] = true
    applied[i] = '1'
    gone[#gone + 1] = id
    mine[#mine + 1] = { place = i, id = id, run = run, code = code, due = due, data = data }
  elseif AGAIN and done_before(id, epoch, code) then
    applied[i] = '1'
  else
    applied[i] = '0'
    refused[#refused + 1] = { id = id, epoch = epoch }
  end
end

for i, id in ipairs(ids) do
  if not apply_fresh(i, id) then
    judge(i, id)
  end
end
for kind, some in pairs(fresh_kinds) do
  count('S', kind, some)
end
-- What ends a job is looked at before anything is written; what is left of that, undo puts right.
local undoable = true
local left = false -- the jobs are no longer held
local MERCY = 30000 -- ms of a lease that is given back: its worker keeps it, if it lives
local function must_be_ready()
  for _, item in ipairs(mine) do
    if item.code ~= 'S' then
      undoable = false
      local known = kind_of(item.run.kind)
      if known then
        must_take(known.list)
      end
    end
  end
  if not undoable then
    must_be_sound()
  end
end

local function apply_all()
  local held = redis.call('HINCRBY', P .. 'holds', worker, -#gone)
  left = true
  if held <= 0 then
    redis.call('HDEL', P .. 'holds', worker)
    redis.call('ZREM', P .. 'leases', worker)
  end
  variadic('HDEL', P .. 'run', gone)
  for _, item in ipairs(mine) do
    apply(item.place, item.id, item.run, item.code, item.due, item.data)
  end
  if #new_m > 0 then
    local first = tonumber(redis.call('ZRANGE', P .. 'sched', 0, 0, 'WITHSCORES')[2]) or math.huge
    variadic('HSET', P .. 'm', new_m)
    variadic('ZADD', P .. 'sched', new_sched)
    variadic('ZADD', P .. 'exp', new_exp)
    for i = 1, #new_sched, 2 do
      if tonumber(new_sched[i]) < first then
        local job = find(new_sched[i + 1])
        local known = job and kind_of(job.kind)
        if known then
          wake_queues[known.queue] = true -- idle workers sleep until a later instant
        end
        first = tonumber(new_sched[i])
      end
    end
  end
  give_back(released, 'released')
  close()
end

-- A key is damaged: the jobs that were to succeed run as before, and their outcomes may be sent again.
local function undo()
  local text_of, back = {}, {}
  for i, id in ipairs(ids) do
    text_of[id] = runs[i]
  end
  for i, id in ipairs(gone) do
    back[2 * i - 1], back[2 * i] = id, text_of[id]
    redis.pcall('HDEL', P .. 'done', id)
    if succeeded_listed then
      redis.pcall('LREM', P .. 'done:S', -1, id)
    end
  end
  variadic('HSET', P .. 'run', back)
  if left then
    redis.pcall('HINCRBY', P .. 'holds', worker, #gone)
    redis.pcall('ZADD', P .. 'leases', 'NX', string.format('%.0f', now + MERCY), worker)
  end
end

if #gone > 0 then
  must_be_ready()
  local fine, problem = pcall(apply_all)
  if not fine then
    if undoable then
      undo()
    end
    error(problem, 0)
  end
end
if EVENTS then
  for _, item in ipairs(refused) do
    local job = find(item.id)
    event_of_kind('superseded', item.id, item.epoch, job and job.kind or '0', worker)
  end
end
close()
return table.concat(applied)
