-- Duty: take jobs out of their queue and into the ledger, each in this one step.
-- KEYS[1] base of the ledger, [2] queue; ARGV[1] who takes, then for each job: entry id, its id, token, head, intent,
-- state. Returns for each the lives that it had before, or -1: it is not there any more as the token says, it runs, is
-- to be aborted, or was taken before.
-- place: score|ms that its data is kept, -1 for ever|attempts|ms that these are kept
-- @include ledger
local queue, taker = KEYS[2], ARGV[1]

local aborts = redis.call('EXISTS', 'arq:abort') == 1
local ids = {}
for at = 2, #ARGV, 6 do
  ids[#ids + 1] = ARGV[at]
end
local entries = ledger_find_all(ids)

local function take(entry, id, at)
  local key, retry, running = 'arq:job:' .. id, 'arq:retry:' .. id, 'arq:in-progress:' .. id
  local score = redis.call('ZSCORE', queue, id)
  local size = redis.pcall('STRLEN', key) -- no number: something else lies there
  if not score or type(size) ~= 'number' or size == 0 or redis.call('EXISTS', running) == 1 or aborts and redis.call('ZSCORE', 'arq:abort', id) then
    return -1
  end
  local attempts = redis.call('GET', retry) or ''
  if score .. '|' .. size .. '|' .. attempts .. '|' .. redis.call('GETRANGE', key, -96, -1) ~= ARGV[at + 2] then
    return -1
  end
  local kept, attempts_kept = redis.call('PTTL', key), attempts ~= '' and redis.call('PTTL', retry) or -2
  local place = score .. '|' .. kept .. '|' .. attempts .. '|' .. attempts_kept
  entry = ledger_note_taken(entry, ARGV[at], ARGV[at + 3], ARGV[at + 5], place, ARGV[at + 4], taker)
  entries[ARGV[at]] = entry
  redis.call('RENAME', key, ledger_held(entry))
  redis.call('ZREM', queue, id)
  if kept >= 0 then
    redis.call('PERSIST', ledger_held(entry))
  end
  if attempts ~= '' then
    redis.call('DEL', retry)
  end
  -- A worker that has just looked at the queue watches this key: touched, it lets the job alone.
  redis.call('SET', running, '0', 'PX', 1)
  redis.call('DEL', running)
  return entry.lives
end

local lives = {}
ledger_flush_after(function()
  for at = 2, #ARGV, 6 do
    local entry = entries[ARGV[at]]
    local may = ledger_may_take(entry, taker)
    lives[#lives + 1] = may == 'again' and entry.lives or may == 'yes' and take(entry, ARGV[at + 1], at) or -1
  end
end)
return lives
