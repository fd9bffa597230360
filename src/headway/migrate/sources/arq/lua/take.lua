-- Duty: take jobs out of their queue and into the ledger, each in this one step.
-- KEYS[1] base of the ledger, [2] queue; ARGV[1] who takes, then for each job: entry id, its id, token, head, intent,
-- state. Returns for each the lives that it had before, or -1: it is not there any more as the token says, it runs, is
-- to be aborted, or was taken before.
-- place: score|ms that its data is kept, -1 for ever|attempts|ms that these are kept
-- @include ledger
local queue, taker = KEYS[2], ARGV[1]

local function token_of(id, score)
  local key, attempts = 'arq:job:' .. id, redis.call('GET', 'arq:retry:' .. id)
  return score .. '|' .. redis.call('STRLEN', key) .. '|' .. (attempts or '') .. '|' .. redis.call('GETRANGE', key, -96, -1)
end

local function is_there(id, token)
  local score = redis.call('ZSCORE', queue, id)
  return score and redis.call('EXISTS', 'arq:in-progress:' .. id) == 0 and redis.call('EXISTS', 'arq:job:' .. id) == 1
    and not redis.call('ZSCORE', 'arq:abort', id) and token_of(id, score) == token and score
end

local function take(entry, id, at)
  local score = is_there(id, ARGV[at + 2])
  if not score then
    return -1
  end
  local key, retry, running = 'arq:job:' .. id, 'arq:retry:' .. id, 'arq:in-progress:' .. id
  local attempts = redis.call('GET', retry)
  local place = score .. '|' .. redis.call('PTTL', key) .. '|' .. (attempts or '') .. '|' .. redis.call('PTTL', retry)
  entry = ledger_take(entry, ARGV[at], ARGV[at + 3], ARGV[at + 5], place, ARGV[at + 4], taker)
  redis.call('RENAME', key, ledger_held(entry))
  redis.call('PERSIST', ledger_held(entry))
  redis.call('ZREM', queue, id)
  redis.call('DEL', retry)
  -- A worker that has just looked at the queue watches this key: touched, it lets the job alone.
  redis.call('SET', running, '0', 'PX', 1)
  redis.call('DEL', running)
  return entry.lives
end

local lives = {}
for at = 2, #ARGV, 6 do
  local entry = ledger_find(ARGV[at])
  local may = ledger_may_take(entry, taker)
  lives[#lives + 1] = may == 'again' and entry.lives or may == 'yes' and take(entry, ARGV[at + 1], at) or -1
end
return lives
