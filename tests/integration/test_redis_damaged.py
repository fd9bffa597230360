"""Whatever key of an app is damaged, in whatever script: the verb is refused by name, and every job still ends.

Lua does not roll back. A script that fails in its middle must have lost nothing, and what a deleted key held is found.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Final

import pytest

from headway.brokers.base import MadeSchedule, QueueWant
from headway.errors import BrokerError
from headway.job import (
    JobId,
)
from tests.integration.redis_app import LEASE_MS, broker, job
from tests.integration.redis_verbs import BUSY, IDLE, SCHEDULE, VERBS, App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


SCRIPTS: Final = sorted(
    one.name.removesuffix(".lua")
    for one in (resources.files("headway.brokers.redis") / "lua").iterdir()
    if one.name.endswith(".lua")
)
NAMES: Final = str.split(
    "j m run done kinds kindof n creq prog waiters logged live tomb tombs sched exp paused done:S done:base done:stale "
    "done:F done:C done:X leases holds watched classes at hand deputy keys keyof u uof uh ux sch sch:paused fire ev mend "
    "control control:routes withdrawn drains fig fig:f fig:c"
)


def test_every_script_has_a_verb_here() -> None:
    assert sorted(VERBS) == SCRIPTS


async def _keys(app: App) -> list[str]:
    start = app.carrier._session.prefix
    there = {key.decode() for key in await app.command("KEYS", f"{start.replace('{', '[{]')}*")}
    return sorted({key.removeprefix(start) for key in there} | set(NAMES))


async def _under_damage(app: App, verb: Callable[[App], AsyncIterator[None]], key: str) -> str:
    """Run the verb while the key is damaged; return how it was refused, nothing when it was not."""
    refusal = ""
    run = verb(app)
    await anext(run)
    kind = await app.command("TYPE", key)
    if kind != b"none":
        await app.command("RENAME", key, f"{key}~")
    await app.command(*(("LPUSH", key, "x") if kind == b"string" else ("SET", key, "x")))
    app.refused = []
    try:
        with suppress(StopAsyncIteration):
            await anext(run)
    except BrokerError as error:
        refusal = str(error)
    await app.command("DEL", key)
    if kind != b"none":
        await app.command("RENAME", f"{key}~", key)
    records = await app.carrier.get(app.refused)
    assert [one for one in records if one is not None] == []
    return refusal


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_key_of_the_wrong_type_loses_no_job(redis_url: str, namespace: str, script: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        app = App(carrier)
        await carrier.declare_schedules([SCHEDULE])
        await carrier.write_schedule(MadeSchedule("made", 1, b"body"), expected=0)
        signals = carrier.signals(IDLE, handed=True)
        await anext(signals)  # IDLE listens from now on
        await app.fill()
        for verb in VERBS[script]:
            keys = [carrier._session.prefix + key for key in await _keys(app)]
            refusals = [refusal for key in keys if (refusal := await _under_damage(app, verb, key))]
            assert refusals
            assert [one for one in refusals if "did another program write to it" not in one] == []
        await app.end()


@pytest.mark.parametrize("key", ["live", "r:5:q", "sched", "run", "holds", "leases", "tombs", "exp"])
async def test_what_a_deleted_key_held_is_found_and_put_back(
    redis_url: str, namespace: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker(redis_url, namespace) as carrier:
        app = App(carrier)
        await app.fill()
        await app.command("DEL", carrier._session.prefix + key)
        mended = 0
        for _ in range(10):
            mended += (await carrier.tend()).mended
        if key in {"r:5:q", "sched", "run"}:
            assert mended > 0
            assert "stood nowhere" in caplog.text
        await app.end()
        assert (await carrier.tend()).mended == 0


async def test_mending_finds_one_job_among_many(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(12_000)]
        await carrier.enqueue(jobs)
        lost = jobs[7_000].id
        await carrier._session.command("LREM", f"{carrier._session.prefix}r:5:q", 1, lost)
        rounds, mended = 0, 0
        while not mended:
            tended = await carrier.tend()
            mended += tended.mended
            rounds += 1
            assert mended or tended.next_in_ms == 0
        assert rounds < 10
        await carrier.tend()
        wants = [QueueWant("q", 5000)]
        taken = set[JobId]()
        for _ in range(3):
            claimed = await carrier.claim(wants, worker=BUSY, limit=5000, lease_ms=LEASE_MS)
            taken |= {one.lease.job_id for one in claimed.deliveries}
        assert taken == {one.id for one in jobs}
