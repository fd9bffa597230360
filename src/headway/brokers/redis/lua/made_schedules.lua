-- Duty: the schedules made at run time. KEYS[1] prefix. Returns { names and texts (flat), last fires in their order }.
-- hash sch:made: name -> revision|body; no body: deleted.
-- @include base
local made = redis.call('HGETALL', P .. 'sch:made')
local names = {}
for i = 1, #made, 2 do
  names[#names + 1] = made[i]
end
return { made, gather('HMGET', P .. 'fire', names) }
