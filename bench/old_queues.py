"""Fills a Redis with jobs as arq, BullMQ and Bull keep them: the same keys, types and fields, some thousand a call.

After arq 0.28, BullMQ 6.7 and Bull 4.16.
"""

from __future__ import annotations

import pickle
import socket
import time
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.servers import RedisServer

QUEUE: Final = "work"
_TOGETHER: Final = 1000
_DAY_MS: Final = 86_400_000
_PAYLOAD: Final = (
    '{"number":%d,"to":"someone@example.com","subject":"Your order has been sent","lines":[1,2,3]}'
)

# KEYS[1] the queue's prefix; ARGV: first id, how many, the instant, every how manieth is delayed (0: none), payload.
_BULLMQ: Final = """
local head, first, many = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local now, every = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('HSET', head .. 'meta', 'opts.maxLenEvents', '10000', 'version', 'bullmq:6.7.0')
redis.call('SET', head .. 'id', first + many - 1)
for id = first, first + many - 1 do
  local later = every > 0 and id % every == 0
  redis.call('HSET', head .. id, 'name', 'work', 'data', string.format(ARGV[5], id),
    'opts', '{"attempts":3,"backoff":{"delay":1000,"type":"exponential"}}',
    'timestamp', string.format('%.0f', now), 'delay', later and '86400000' or '0', 'priority', '0')
  redis.call('XADD', head .. 'events', 'MAXLEN', '~', 10000, '*', 'event', 'added', 'jobId', id, 'name', 'work')
  if later then
    redis.call('ZADD', head .. 'delayed', string.format('%.0f', (now + 86400000) * 4096 + id % 4096), id)
  else
    redis.call('LPUSH', head .. 'wait', id)
    redis.call('XADD', head .. 'events', 'MAXLEN', '~', 10000, '*', 'event', 'waiting', 'jobId', id)
  end
end
"""
_BULL: Final = """
local head, first, many = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local now, every = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('SET', head .. 'id', first + many - 1)
for id = first, first + many - 1 do
  local later = every > 0 and id % every == 0
  redis.call('HMSET', head .. id, 'name', 'work', 'data', string.format(ARGV[5], id),
    'opts', '{"attempts":3,"backoff":{"type":"exponential","delay":1000},"delay":' .. (later and '86400000' or '0')
      .. ',"timestamp":' .. string.format('%.0f', now) .. '}',
    'timestamp', string.format('%.0f', now), 'delay', later and '86400000' or '0', 'priority', '0')
  if later then
    redis.call('ZADD', head .. 'delayed', string.format('%.0f', (now + 86400000) * 4096 + id % 4096), id)
  else
    redis.call('LPUSH', head .. 'wait', id)
  end
end
"""


def fill(server: RedisServer, kind: str, jobs: int, every: int) -> None:
    """Add so many waiting jobs; every `every`-th waits for a due time tomorrow, none with 0."""
    now_ms = int(time.time() * 1000)
    with socket.create_connection((HOST, server.port), 120) as wire, wire.makefile("rb") as answers:
        batches = _arq(jobs, every, now_ms) if kind == "arq" else _bulls(kind, jobs, every, now_ms)
        for commands in batches:
            wire.sendall(b"".join(map(_encoded, commands)))
            for _ in commands:
                _passed(answers.readline())


def _arq(jobs: int, every: int, now_ms: int) -> Iterator[list[tuple[str | bytes | int, ...]]]:
    for first in range(1, jobs + 1, _TOGETHER):
        commands: list[tuple[str | bytes | int, ...]] = []
        for number in range(first, min(first + _TOGETHER, jobs + 1)):
            due_ms = now_ms + (_DAY_MS if every and not number % every else 0)
            job_id = f"{number:032x}"
            call = {
                "t": None,
                "f": "work",
                "a": (number,),
                "k": {"to": "someone@example.com", "subject": "Your order has been sent", "lines": [1, 2, 3]},
                "et": now_ms,
            }
            commands += (
                ("PSETEX", f"arq:job:{job_id}", due_ms - now_ms + _DAY_MS, pickle.dumps(call)),
                ("ZADD", "arq:queue", due_ms, job_id),
            )
        yield commands


def _bulls(kind: str, jobs: int, every: int, now_ms: int) -> Iterator[list[tuple[str | bytes | int, ...]]]:
    script = _BULLMQ if kind == "bullmq" else _BULL
    for first in range(1, jobs + 1, _TOGETHER):
        many = min(_TOGETHER, jobs - first + 1)
        yield [("EVAL", script, 1, f"bull:{QUEUE}:", first, many, now_ms, every, _PAYLOAD)]


def _encoded(words: Iterable[str | bytes | int]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _passed(answer: bytes) -> None:
    if not answer or answer.startswith(b"-"):
        msg = f"the source could not be filled: {answer.decode(errors='replace')}"
        raise RuntimeError(msg)
