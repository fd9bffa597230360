-- Duty: the records beside the payload.
-- hash j: id -> kind:payload. hash m: what deviates from a fresh ready job:
--   kind|epoch|attempt|crashes|due|expires|started|history   (due, expires, started may be empty)
-- hash run: kind|epoch|attempt|crashes|started|claim|place|worker. Place: the job's among those of its claim, three digits of base
-- 62 that sort as text, so that all else is the same text for the fresh jobs of a claim.
-- hash done: state|kind|epoch|attempt|crashes|due|expires|started|finished|len worker|len reason|len result|worker reason result history
-- States: D scheduled, Q ready, R running, S succeeded, F failed, C cancelled, X expired.
local counts = {} -- deltas of hash n: state:kind -> how many, for scheduled and terminal states

local function count(state, kind, delta)
  local field = state .. ':' .. kind
  counts[field] = (counts[field] or 0) + delta
end

local function write_counts()
  for field, delta in pairs(counts) do
    if delta ~= 0 and redis.call('HINCRBY', P .. 'n', field, delta) <= 0 then
      redis.call('HDEL', P .. 'n', field)
    end
  end
  counts = {}
end

local LONGEST = 36 -- digits of epoch, attempt and crashes together: more is damage, and no number
local INSTANT = 18 -- digits of an instant, at most

local function parse_header(text)
  local kind, epoch, attempt, crashes, due, expires, started, history =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)|(%-?%d*)|(%-?%d*)|(%-?%d*)|(.*)$')
  if not kind or due == '-' or expires == '-' or started == '-' or #epoch + #attempt + #crashes > LONGEST
    or #kind > INSTANT or #due > INSTANT or #expires > INSTANT or #started > INSTANT then
    return nil
  end
  return { kind = kind, epoch = epoch, attempt = attempt, crashes = crashes, due = due, expires = expires,
    started = started, history = history }
end

local function header_text(job)
  return job.kind .. '|' .. job.epoch .. '|' .. job.attempt .. '|' .. job.crashes .. '|' .. job.due .. '|' .. job.expires
    .. '|' .. job.started .. '|' .. job.history
end

local function fresh_header(blob)
  local kind = blob and string.match(blob, '^(%d+):')
  return kind and { kind = kind, epoch = '0', attempt = '0', crashes = '0', due = '', expires = '', started = '', history = '' }
end

local function parse_run(text)
  local kind, epoch, attempt, crashes, started, claim, place, worker =
    string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%w+)|(.*)$')
  if not kind or #kind + #epoch + #attempt + #crashes > LONGEST or #started > INSTANT or #claim > INSTANT then
    return nil
  end
  return { kind = kind, epoch = epoch, attempt = attempt, crashes = crashes, started = started, claim = claim,
    place = place, worker = worker }
end

local function parse_done(text)
  local state, kind, epoch, attempt, crashes, due, expires, started, finished =
    string.match(text, '^(%u)|(%d+)|(%d+)|(%d+)|(%d+)|(%-?%d*)|(%-?%d*)|(%-?%d*)|(%d+)|')
  if not state or not string.find('SFCX', state, 1, true) or #kind + #epoch + #attempt + #crashes > LONGEST
    or #finished > INSTANT or #due > INSTANT or #expires > INSTANT or #started > INSTANT
    or due == '-' or expires == '-' or started == '-' then
    return nil
  end
  return { state = state, kind = kind, epoch = epoch, attempt = attempt, crashes = crashes, due = due, expires = expires,
    started = started, finished = finished, history = '' }
end

-- Where a job is: its header with .state, or nil. A record that cannot be read comes back with .broken.
local function find(id)
  local text = redis.call('HGET', P .. 'done', id)
  if text then
    return parse_done(text) or { state = 'F', broken = true, kind = '0', epoch = '0' }
  end
  local job
  text = redis.call('HGET', P .. 'm', id)
  if text then
    job = parse_header(text)
  end
  job = job or fresh_header(redis.call('HGET', P .. 'j', id))
  if not job then
    return nil
  end
  text = redis.call('HGET', P .. 'run', id)
  if text then
    local run = parse_run(text)
    if run then
      job.state, job.epoch, job.attempt, job.crashes = 'R', run.epoch, run.attempt, run.crashes
      job.started, job.worker = run.started, run.worker
      return job
    end
  end
  local score = redis.call('ZSCORE', P .. 'sched', id)
  job.state = score and 'D' or 'Q'
  job.held = score == 'inf'
  return job
end
