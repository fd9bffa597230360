"""What a safe queue of the usual layout asks of Redis: a hash a job, a list of waiting ids, a zset of leases."""

from __future__ import annotations

from typing import Final

# KEYS queue; ARGV id, payload pairs.
ENQUEUE: Final = """
local jobs, wait = KEYS[1] .. ':job:', KEYS[1] .. ':wait'
for i = 1, #ARGV, 2 do
  redis.call('HSET', jobs .. ARGV[i], 'data', ARGV[i + 1], 'attempts', 0)
  redis.call('LPUSH', wait, ARGV[i])
end
return #ARGV / 2
"""

# KEYS queue; ARGV lease end, most, then the ids that are done. Returns ids and payloads.
SETTLE_AND_CLAIM: Final = """
local jobs, wait, leases = KEYS[1] .. ':job:', KEYS[1] .. ':wait', KEYS[1] .. ':leases'
for i = 3, #ARGV do
  if redis.call('ZREM', leases, ARGV[i]) == 1 then
    redis.call('DEL', jobs .. ARGV[i])
  end
end
local ids = redis.call('RPOP', wait, ARGV[2]) or {}
local payloads = {}
for i, id in ipairs(ids) do
  redis.call('ZADD', leases, ARGV[1], id)
  redis.call('HINCRBY', jobs .. id, 'attempts', 1)
  payloads[i] = redis.call('HGET', jobs .. id, 'data')
end
return { ids, payloads }
"""
