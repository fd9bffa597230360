"""As redis_limit, packed: one hash of all payloads, and one command for a hundred jobs wherever Redis has one."""

from __future__ import annotations

from typing import Final

# KEYS queue; ARGV id, payload pairs.
ENQUEUE: Final = """
local ids, fields = {}, {}
for i = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1] .. ':jobs', unpack(ARGV))
redis.call('LPUSH', KEYS[1] .. ':wait', unpack(ids))
return #ids
"""

# KEYS queue; ARGV lease end, most, then the ids that are done. Returns ids and payloads.
SETTLE_AND_CLAIM: Final = """
local wait, jobs, leases = KEYS[1] .. ':wait', KEYS[1] .. ':jobs', KEYS[1] .. ':leases'
if #ARGV > 2 then
  local done = {}
  for i = 3, #ARGV do
    done[#done + 1] = ARGV[i]
  end
  redis.call('ZREM', leases, unpack(done))
  redis.call('HDEL', jobs, unpack(done))
end
local ids = redis.call('RPOP', wait, ARGV[2])
if not ids then
  return { {}, {} }
end
local scored = {}
for _, id in ipairs(ids) do
  scored[#scored + 1] = ARGV[1]
  scored[#scored + 1] = id
end
redis.call('ZADD', leases, unpack(scored))
return { ids, redis.call('HMGET', jobs, unpack(ids)) }
"""
