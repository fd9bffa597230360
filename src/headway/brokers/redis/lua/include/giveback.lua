-- Duty: take running jobs back to the head of their lists, oldest claim first.
-- runs: list of { id, run, crashed } (crashed: the attempt is used up and counts as a crash; else it is given back).
local function claimed_before(a, b)
  local x, y = a.run, b.run
  if x.started ~= y.started then
    return tonumber(x.started) < tonumber(y.started)
  end
  if x.claim ~= y.claim then
    return tonumber(x.claim) < tonumber(y.claim)
  end
  if #x.place ~= #y.place then
    return #x.place < #y.place
  end
  return x.place < y.place
end

local function give_back(runs, event_kind)
  if #runs == 0 then
    return
  end
  table.sort(runs, claimed_before)
  local ids = {}
  for i, item in ipairs(runs) do
    ids[i] = item.id
    local known = kind_of(item.run.kind)
    if known then
      must_take(known.list)
    end
  end
  variadic('HDEL', P .. 'run', ids)
  local headers = gather_if_any(P .. 'm', ids) or {}
  local asked = gather_if_any(P .. 'creq', ids) or {}
  local pairs_m, expiring, by_list = {}, {}, {}
  for i, item in ipairs(runs) do
    local run = item.run
    local old = headers[i] and parse_header(headers[i])
    local job = old or { due = '', expires = '', history = '' }
    job.kind, job.epoch, job.started = run.kind, run.epoch, run.started
    if item.crashed then
      job.attempt, job.crashes = run.attempt, string.format('%.0f', run.crashes + 1)
    else
      job.attempt, job.crashes = string.format('%.0f', run.attempt - 1), run.crashes
    end
    local known = kind_of(run.kind)
    if asked[i] then
      finish(item.id, 'C', job, run.worker, asked[i], '')
    elseif known then
      pairs_m[#pairs_m + 1] = item.id
      pairs_m[#pairs_m + 1] = header_text(job)
      if job.expires ~= '' then
        expiring[#expiring + 1] = job.expires
        expiring[#expiring + 1] = item.id
      end
      by_list[known.list] = by_list[known.list] or {}
      table.insert(by_list[known.list], item.id)
      event(event_kind, item.id, run.epoch, known.queue, run.worker)
    else
      finish(item.id, 'F', job, run.worker, 'its kind number is unknown: the record is damaged', '')
    end
  end
  if #pairs_m > 0 then
    variadic('HSET', P .. 'm', pairs_m)
  end
  if #expiring > 0 then
    variadic('ZADD', P .. 'exp', expiring)
  end
  for list, back in pairs(by_list) do
    push_head(list, back)
  end
end

-- All that these workers (a set) hold. One pass over the running jobs, however many workers.
local function runs_of(workers, started)
  local runs = {}
  local all = redis.call('HGETALL', P .. 'run')
  for i = 1, #all, 2 do
    local run = parse_run(all[i + 1])
    if run and workers[run.worker] then
      runs[#runs + 1] = { id = all[i], run = run, crashed = not started or started[all[i]] == true }
    end
  end
  return runs
end
