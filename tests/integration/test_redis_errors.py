"""A server that answers without doing as asked: each refusal says what it is and what to do."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from headway.brokers.redis.wire.errors import Answer, WireError, classify, error_of, refused, unavailable
from headway.errors import BrokerUnavailableError
from tests.integration.redis_app import broker, claim, job

if TYPE_CHECKING:
    from headway.brokers.redis.broker import RedisBroker
    from tests.servers import RedisServer

REFUSALS = {
    "OOM command not allowed when used memory > 'maxmemory'.": "raise maxmemory",
    "READONLY You can't write against a read only replica.": "address of the primary",
    "MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist": "its disk",
    "NOPERM User x has no permissions to run the 'spop' command": "lacks a permission.*'spop'",
    "NOREPLICAS Not enough good replicas to write.": "min-replicas",
    "NOAUTH Authentication required.": "wants a password",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "another program",
}
WAITING = {
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "SCRIPT KILL",
    "LOADING Redis is loading the dataset in memory": "loading its data",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "its primary",
    "CLUSTERDOWN The cluster is down": "CLUSTER INFO",
    "TRYAGAIN Multiple keys request during rehashing of slot": "moving",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_says_what_to_do(text: str) -> None:
    message = str(refused("redis://h:1", error_of(text)))
    assert message.startswith("redis://h:1 refused the call: ")
    assert re.search(REFUSALS[text], message)


@pytest.mark.parametrize("text", WAITING)
def test_a_server_that_can_do_nothing_now_is_not_called_unreachable(text: str) -> None:
    error = error_of(text)
    assert classify(error) is Answer.WAIT
    message = str(unavailable("redis://h:1", error))
    assert message.startswith("redis://h:1 answers, but does nothing for now: ")
    assert WAITING[text] in message


def test_a_server_that_does_not_answer_is_called_unreachable() -> None:
    for problem in ("", "no answer for 4 s", WireError("refused"), TimeoutError()):
        assert "cannot be reached (" in str(unavailable("redis://h:1", problem))


async def test_a_call_to_a_server_that_is_busy_with_a_script_says_so(
    own_redis_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_redis_server
    async with broker(server.url, namespace) as carrier:
        await carrier.enqueue([job()])
        server.call("CONFIG", "SET", "lua-time-limit", "10")
        monkeypatch.setattr("headway.brokers.redis.session.CALL_DEADLINE", 1.0)
        endless = asyncio.create_task(asyncio.to_thread(_run_endless_script, server))
        try:
            with pytest.raises(BrokerUnavailableError, match=r"busy with a script.*SCRIPT KILL"):
                await _enqueue_on_and_on(carrier)
        finally:
            server.call("SCRIPT", "KILL")
            await endless
        monkeypatch.undo()
        assert await claim(carrier)


async def _enqueue_on_and_on(carrier: RedisBroker) -> None:
    while True:
        await carrier.enqueue([job()])


def _run_endless_script(server: RedisServer) -> None:
    with pytest.raises(Exception, match=r"(?i)script"):
        server.call("EVAL", "while true do end", "0")
