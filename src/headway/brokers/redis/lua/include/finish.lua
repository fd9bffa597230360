-- Duty: bring jobs to a terminal state; forget jobs; tell those who wait.
-- list done:S in finishing order with counter done:base of what left it on the left, done:stale entries of removed jobs; zsets done:F, done:C, done:X by finished.
local finished_ids, finished_pairs = {}, {}
local finished_by = { S = {}, F = {}, C = {}, X = {} }
local TERMINAL_EVENT = { S = 'succeeded', F = 'failed', C = 'cancelled', X = 'expired' }

local function finish(id, state, job, worker, reason, result)
  finished_ids[#finished_ids + 1] = id
  local size = #finished_pairs
  finished_pairs[size + 1] = id
  finished_pairs[size + 2] = state .. '|' .. job.kind .. '|' .. job.epoch .. '|' .. job.attempt .. '|' .. job.crashes .. '|'
    .. job.due .. '|' .. job.expires .. '|' .. job.started .. '|' .. NOW .. '|' .. #worker .. '|' .. #reason .. '|'
    .. #result .. '|' .. worker .. reason .. result .. job.history
  local order = finished_by[state]
  if state ~= 'S' then
    order[#order + 1] = NOW
  end
  order[#order + 1] = id
  count(state, job.kind, 1)
  event_of_kind(TERMINAL_EVENT[state], id, job.epoch, job.kind, worker)
end

-- The same as finish with state S for a job without a header, whose record is made and counted already.
local function finish_fresh(id, record)
  local size, succeeded = #finished_ids + 1, finished_by.S
  finished_ids[size] = id
  finished_pairs[2 * size - 1], finished_pairs[2 * size] = id, record
  succeeded[#succeeded + 1] = id
end

-- hash waiters: id -> tokens of the processes that wait for it, separated by blanks.
local function tell_waiters(ids)
  local waiting = gather_if_any(P .. 'waiters', ids)
  if not waiting then
    return
  end
  local told, over = {}, {}
  for i, tokens in ipairs(waiting) do
    if tokens then
      over[#over + 1] = ids[i]
      for token in string.gmatch(tokens, '%S+') do
        told[token] = told[token] or {}
        table.insert(told[token], ids[i])
      end
    end
  end
  variadic('HDEL', P .. 'waiters', over)
  for token, done in pairs(told) do
    redis.pcall('PUBLISH', P .. 'ch:p:' .. token, table.concat(done, ' '))
  end
end

local function drop_fields(suffix, ids)
  if redis.call('HLEN', P .. suffix) > 0 then
    variadic('HDEL', P .. suffix, ids)
  end
end

local succeeded_listed = false -- list done:S has been written
local plain_end = false -- nothing beside the records belongs to those that finish

local function write_finished()
  if #finished_ids == 0 then
    return
  end
  local ids, order = finished_ids, finished_by
  variadic('HSET', P .. 'done', finished_pairs)
  finished_ids, finished_pairs, finished_by = {}, {}, { S = {}, F = {}, C = {}, X = {} }
  if #order.S > 0 then
    variadic('RPUSH', P .. 'done:S', order.S)
    succeeded_listed = true
  end
  for _, state in ipairs({ 'F', 'C', 'X' }) do
    if #order[state] > 0 then
      variadic('ZADD', P .. 'done:' .. state, order[state])
    end
  end
  if plain_end then
    return
  end
  drop_fields('m', ids)
  drop_fields('creq', ids)
  release_unique(ids)
  tell_waiters(ids)
end

-- A waiting job (state D or Q) ends without having run.
local function finish_waiting(id, job, state, reason)
  if job.state == 'D' then
    redis.call('ZREM', P .. 'sched', id)
    count('D', job.kind, -1)
  else
    local known = kind_of(job.kind)
    if known then
      entomb(id, known.list)
    end
  end
  if job.expires ~= '' then
    redis.call('ZREM', P .. 'exp', id)
  end
  finish(id, state, job, '', reason, '')
end

-- All that belongs to the jobs goes, except entries of ready lists (tombstones) and of done:S, which their readers skip.
local function forget(ids)
  if #ids == 0 then
    return
  end
  variadic('HDEL', P .. 'j', ids)
  drop_fields('done', ids)
  drop_fields('m', ids)
  local keys = gather_if_any(P .. 'keyof', ids)
  if keys then
    local mine = {}
    for _, key in ipairs(keys) do
      mine[#mine + 1] = key or nil
    end
    if #mine > 0 then
      variadic('HDEL', P .. 'keys', mine)
    end
    variadic('HDEL', P .. 'keyof', ids)
  end
  drop_fields('prog', ids)
  drop_fields('creq', ids)
  drop_fields('withdrawn', ids)
  if redis.call('EXISTS', P .. 'logged') == 1 then
    for i, logged in ipairs(gather('SMISMEMBER', P .. 'logged', ids)) do
      if logged == 1 then
        redis.call('UNLINK', P .. 'log:' .. ids[i])
      end
    end
    variadic('SREM', P .. 'logged', ids)
  end
  release_unique(ids)
  tell_waiters(ids)
end
