"""Control documents on Redis: lost answers, and keys that others wrote to."""

from __future__ import annotations

import pytest

from headway.errors import BrokerRefusedError
from tests.integration.redis_app import broker
from tests.servers import Direction, TcpProxy


async def test_a_write_whose_answer_was_lost_was_made_once(redis_proxy: TcpProxy, namespace: str) -> None:
    """Whoever wrote is told so, and not that somebody else was faster."""
    async with broker(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as carrier:
        await carrier.write_control("routes", b"1", expected=0)
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        assert await carrier.write_control("routes", b"2", expected=1) == 2
        await redis_proxy.wait_reset()
        assert [one.body for one in await carrier.control_history("routes")] == [b"2", b"1"]
        assert await carrier.write_control("routes", b"2", expected=1) is None


async def test_a_lease_whose_answer_was_lost_is_held_once(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as carrier:
        await carrier.read_control("routes")
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        fence = await carrier.hold_control("c", "one", 60_000)
        await redis_proxy.wait_reset()
        assert fence is not None
        assert fence.token == 1


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("SET", "control:routes", "x"), "list"),
        (("LPUSH", "control:routes", "x"), "control document"),
        (("SET", "control", "x"), "hash"),
    ],
)
async def test_a_key_that_others_wrote_to_is_named(
    redis_url: str, namespace: str, command: tuple[str, str, str], what: str
) -> None:
    async with broker(redis_url, namespace) as carrier:
        verb, key, value = command
        await carrier._session.command(verb, carrier._session.prefix + key, value)
        if key == "control":
            with pytest.raises(BrokerRefusedError, match=f"{key} holds no {what}"):
                await carrier.hold_control("c", "one", 1000)
            return
        with pytest.raises(BrokerRefusedError, match=f"{key} holds no {what}"):
            await carrier.read_control("routes")
        with pytest.raises(BrokerRefusedError, match=f"{key} holds no {what}"):
            await carrier.write_control("routes", b"", expected=0)


async def test_a_damaged_version_is_left_out_of_the_history(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        for version in range(3):
            await carrier.write_control("routes", b"x", expected=version)
        await carrier._session.command("LSET", f"{carrier._session.prefix}control:routes", 1, b"\xff")
        assert [one.version for one in await carrier.control_history("routes")] == [3, 1]
