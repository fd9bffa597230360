"""Jobs that arq has made, in every state, brought along and back; the other side is the real library."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from contextlib import asynccontextmanager
from datetime import date, datetime  # noqa: TC003 - annotations of a task
from decimal import Decimal  # noqa: TC003 - as above
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import pytest
from redis import Redis

from headway import Headway, Retry
from headway.brokers.base import JobQuery
from headway.codec import decode_call
from headway.job import JobRecord, JobState
from headway.migrate.apply import Applier
from headway.migrate.carrying import Carrying
from headway.migrate.deciding import Deciding, Intent
from headway.migrate.destination import Destination
from headway.migrate.found import FoundState
from headway.migrate.mapfile import parse_map
from headway.migrate.notes import read_note, sent_id
from headway.migrate.opening import SourceOptions, open_source
from headway.migrate.pace import Pace
from headway.migrate.plan import judge, plan
from headway.migrate.progress import Meter
from headway.migrate.revert import Reverting
from headway.migrate.source import Status
from headway.migrate.verify import Verifying
from tests.servers import RedisServer
from tests.servers.arq_env import arq_python
from tests.servers.resp import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from headway.migrate.source import Source

_SIDE: Final = Path(__file__).with_name("arq_fixtures.py")
_DUE_MS: Final = 4102542245678
_MAP: Final = {
    "attempts": 4,
    "job": [{"name": "typed", "task": "typed"}, {"name": "again", "task": "again"}],
}


def _app(**settings: Any) -> Headway:
    app = Headway("arrived", **settings)

    @app.task(name="typed", retry=Retry(max_attempts=10))
    async def typed(
        number: int = 0,
        text: str = "",
        raw: bytes = b"",
        day: date | None = None,
        *,
        kind: UUID | None = None,
        at: datetime | None = None,
        price: Decimal | None = None,
    ) -> None: ...

    @app.task(name="again", retry=Retry(max_attempts=10))
    async def again(tag: str) -> None: ...

    return app


class Both:
    """arq's side, and the parts of a migration."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.ledger = folder / "ledger.txt"
        self.app = _app(url=f"sqlite:///{folder / 'jobs.db'}")

    def old(self, *words: str) -> None:
        """Run arq's side to its end."""
        role, *rest = words
        subprocess.run(
            [str(arq_python()), str(_SIDE), role, self.server.url, str(self.ledger), *rest],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def lines(self) -> list[str]:
        """Return what arq's workers have noted."""
        return self.ledger.read_text(encoding="utf-8").splitlines() if self.ledger.exists() else []

    @asynccontextmanager
    async def source(self, **options: Any) -> AsyncIterator[Source]:
        """Open the source."""
        source = open_source("arq", self.server.url, SourceOptions(**{"allow_pickle": True, **options}))
        await source.open()
        try:
            yield source
        finally:
            await source.close()

    def state(self) -> dict[bytes, Any]:
        """Return all of the source's keys but the ledger, as they lie there, and whether they will expire."""
        with Redis.from_url(self.server.url) as redis:
            keys: Any = redis.keys("*")
            theirs = [key for key in keys if b":headway" not in key and key != b"arq:queue:health-check"]
            return {key: (redis.dump(key), cast("int", redis.pttl(key)) > 0) for key in theirs}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with RedisServer() as server:
        one = Both(server, tmp_path)
        one.old("make")
        yield one


def _parts(
    source: Source, app: Headway, rules: dict[str, Any] = _MAP
) -> tuple[Applier, Reverting, Verifying]:
    deciding, destination = Deciding(app, parse_map(rules)), Destination(app)
    carrying = Carrying(source, destination)
    meter = Meter(None)
    applier = Applier(source, deciding, destination, carrying, meter=meter, pace=Pace(None))
    return (
        applier,
        Reverting(source, destination, carrying, meter),
        Verifying(source, deciding, destination, meter),
    )


async def _brought(app: Headway, source: Source, queue: str) -> dict[str, JobRecord]:
    """Return the jobs of ours by their ids there."""
    page = await source.entries(queue, status=Status.ENQUEUED)
    found: dict[str, JobRecord] = {}
    for entry in page.entries:
        note = read_note(entry)
        assert note is not None
        assert json.loads(entry.note)["carrier"] == "main"
        (record,) = await app.carrier.get([sent_id(entry, note)])
        assert record is not None
        found[entry.source_id] = record
    return found


def _call(app: Headway, record: JobRecord) -> tuple[list[Any], dict[str, Any]]:
    return app.find_task(record.task).signature.decode(*decode_call(record.payload))


@pytest.mark.timeout(120)
async def test_every_state_arrives_with_all_that_it_has(both: Both) -> None:
    app = both.app
    async with both.source() as source, app:
        queues = await source.queues()
        assert queues == ["arq:queue", "json", "second queue"]
        applier, _, verifying = _parts(source, app)
        states = frozenset(FoundState)
        deciding, destination = Deciding(app, parse_map(_MAP)), Destination(app)
        planned = await plan(source, queues, deciding, destination, Meter(None), states=states)
        reasons = {
            example[0]: why
            for row in planned.rows
            for why, one in (row.why_refused | row.why_left).items()
            for example in one.examples
        }
        for source_id, said in {
            "misfit": "'text'|'number'|'kind'",
            "unmapped": "map says nothing",
            "running": "runs there",
            "aborted": "aborted",
            "expired": "expired",
            "large" * 3: "2,000,000 bytes",
            "odd": "holds something else",
            "as json": "pickle",
            "failed": "has failed there",
        }.items():
            assert any(one in reasons[source_id] for one in said.replace("'", "").split("|")), reasons
        done = await applier.once(queues)
        assert done.census.moved == planned.moved == 5, "\n".join(map(str, done.census.rows))
        first = await _brought(app, source, "arq:queue")
        assert first.keys() >= {"typed", "due", "user:1 é"}
        args, kwargs = _call(app, first["typed"])
        assert (args[:3], args[3].isoformat(), kwargs["kind"], str(kwargs["price"])) == (
            [1, "é", b"\x00\xff"],
            "2020-02-03",
            UUID(int=5),
            "1.50",
        )
        assert kwargs["at"].isoformat() == "2100-01-02T03:04:05.678000+00:00"
        assert (first["due"].state, first["due"].due_ms) == (JobState.SCHEDULED, _DUE_MS)
        assert first["user:1 é"].key == "user:1 é"
        expires_ms = first["user:1 é"].expires_ms
        assert expires_ms is not None
        assert abs(expires_ms - time.time() * 1000 - 2 * 3600 * 1000) < 60_000
        (retried,) = [one for one in first.values() if one.task == "again"]
        assert retried.state is JobState.SCHEDULED
        assert retried.attempt == 10 - (4 - 1)  # three attempts are left there, so here
        assert retried.due_ms is not None
        assert 3500_000 < retried.due_ms - time.time() * 1000 < 3600_000
        second = await _brought(app, source, "second queue")
        assert _call(app, second["elsewhere"]) == ([8], {})
        again = await applier.once(queues)
        assert (again.census.moved, again.resumed) == (0, 0)
        verified = await verifying.verify(queues)
        assert verified.sound, verified
        assert verified.compared == 5
    with Connection(both.server.port) as redis:
        redis.call("DEL", "arq:in-progress:running")  # as if its worker had died
    both.old("run", "5")  # what is left is run there, or given up
    assert [line for line in both.lines() if line.startswith("kept")] == ["kept unmapped"]
    assert any(line.startswith("typed (3,") for line in both.lines())
    assert not any("elsewhere" in line or line.startswith("typed (1,") for line in both.lines())


@pytest.mark.timeout(120)
async def test_the_way_back_leaves_everything_as_it_was(both: Both) -> None:
    before = both.state()
    app = both.app
    async with both.source() as source, app:
        applier, reverting, verifying = _parts(source, app)
        queues = await source.queues()
        for lives in range(2):
            assert (await applier.once(queues)).census.moved == 5, lives
            assert both.state() != before
            done = await reverting.revert(queues)
            assert (done.reverted, done.stayed) == (5, [])
            assert both.state() == before
            assert (await verifying.verify(queues)).sound
        listed = await app.jobs.list()
        assert listed.jobs == []


@pytest.mark.timeout(120)
async def test_jobs_of_another_serializer(both: Both) -> None:
    app = both.app
    async with both.source(serializer="json", allow_pickle=False) as source, app:
        applier, _, _ = _parts(source, app)
        done = await applier.once(["json"])
        assert done.census.moved == 1
        assert _call(app, (await _brought(app, source, "json"))["as json"]) == ([9], {"kind": None})


@pytest.mark.timeout(120)
async def test_a_job_that_changes_between_the_look_and_the_taking_stays(both: Both) -> None:
    app = both.app
    async with both.source() as source, app:
        deciding, destination = Deciding(app, parse_map(_MAP)), Destination(app)
        carrying = Carrying(source, destination)
        pages = [page async for page in source.pages("arq:queue", frozenset(FoundState))]
        judged = [(job, judge(source, job, deciding, destination)) for page in pages for job in page]
        pairs = [(job, one) for job, one in judged if isinstance(one, Intent)]
        with Connection(both.server.port) as redis:
            redis.call("SET", "arq:in-progress:typed", "1")  # a worker was first
            redis.call("ZADD", "arq:queue", "5", "due")
            redis.call("SET", "arq:job:user:1 é", "another job of that id")
        outcomes = await carrying.carry("arq:queue", pairs)
        moved = {
            job.source_id
            for (job, _), one in zip(pairs, outcomes, strict=True)
            if one.status is Status.ENQUEUED
        }
        assert moved.isdisjoint({"typed", "due", "user:1 é"})
        assert len(moved) == 1


@pytest.mark.timeout(120)
async def test_each_job_goes_to_the_carrier_of_its_route_and_comes_back_from_there(
    both: Both, tmp_path: Path
) -> None:
    carriers = {"main": f"sqlite:///{tmp_path / 'one.db'}", "next": f"sqlite:///{tmp_path / 'two.db'}"}
    app = _app(carriers=carriers, routes={"default": {"main": 50, "next": 50}})
    before = both.state()
    async with both.source() as source, app:
        applier, reverting, verifying = _parts(source, app)
        queues = await source.queues()
        done = await applier.once(queues)
        to: Counter[str] = Counter()
        for row in done.census.rows:
            to.update(row.carriers)
        assert sum(to.values()) == 5
        for name, count in to.items():
            assert len((await app.carriers[name].list(JobQuery())).jobs) == count
        assert (await verifying.verify(queues)).sound
        # A route that changes meanwhile sends no job a second way: where it went is noted.
        assert (await reverting.revert(queues)).reverted == 5
        assert both.state() == before
        assert (await app.jobs.list()).jobs == []
