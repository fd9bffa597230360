"""What a Redis of BullMQ or Bull may hold that no library wrote: refused by name, and the rest goes on. No Node is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headway.errors import BrokerRefusedError
from headway.migrate.found import FoundState
from headway.migrate.source import Stays, Taken
from headway.migrate.sources.bulls import walking
from tests.integration.bulls import answers, is_bullmq, read, revert_all, source_of, take, take_schedule
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.bulls import Source
    from tests.servers import RedisCluster
    from tests.servers.resp import Connection


@pytest.fixture(params=["bullmq5", "bull4"])
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def source(library: str, redis_server: RedisServer, namespace: str) -> AsyncIterator[Source]:
    made = source_of(library, redis_server.url, namespace)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def wire(redis_server: RedisServer) -> Iterator[Connection]:
    with redis_server.connect() as connection:
        yield connection


class Queue:
    """Writes jobs as a library would, or nearly so."""

    def __init__(self, wire: Connection, prefix: str, library: str, name: str = "q") -> None:
        self.wire, self.head = wire, f"{prefix}:{name}:"
        wire.call("SET", f"{self.head}id", 1)
        if is_bullmq(library):
            wire.call("HSET", f"{self.head}meta", "opts.maxLenEvents", 10_000)

    def write(self, job_id: str, **fields: Any) -> None:
        """Write a job's hash."""
        given = {
            "name": "job",
            "data": "{}",
            "opts": "{}",
            "timestamp": 1_700_000_000_000,
            "delay": 0,
            "priority": 0,
        }
        words = [str(word) for pair in {**given, **fields}.items() for word in pair]
        self.wire.call("HSET", f"{self.head}{job_id}", *words)

    def wait(self, job_id: str, **fields: Any) -> None:
        """Write a job, and its id into the list of those that wait."""
        self.write(job_id, **fields)
        self.wire.call("LPUSH", f"{self.head}wait", job_id)


@pytest.fixture
def queue(wire: Connection, namespace: str, library: str) -> Queue:
    return Queue(wire, namespace, library)


async def test_each_is_refused_by_name_and_the_rest_goes_on(
    source: Source, queue: Queue, wire: Connection
) -> None:
    queue.wait("good")
    queue.wait("not json", data="{oops")
    queue.wait("deep", data="[" * 200_000)
    queue.wait("options", opts="[1]")
    queue.wait("attempts", opts='{"attempts": "many"}')
    queue.wait("when", timestamp="yesterday")
    queue.wait("endless", timestamp="9" * 400)
    queue.wait("rank", priority="NaN")
    queue.wait("named", name="n" * 70_000)
    wire.call("LPUSH", f"{queue.head}wait", "no record")
    wire.call("SET", f"{queue.head}a string", "x")
    wire.call("LPUSH", f"{queue.head}wait", "a string")
    queue.wait("last")
    jobs = {job.source_id: job for job in await read(source, "q")}
    reasons = {job_id: job.refusal for job_id, job in jobs.items() if job.refusal}
    assert reasons == {
        "not json": "its data is no JSON",
        "deep": "its data is no JSON",
        "options": "its options are no JSON object",
        "attempts": "its attempts is no number of 0 or more",
        "when": "its timestamp is no number of 0 or more",
        "endless": "its timestamp is no number of 0 or more",
        "rank": "its priority is no number of 0 or more",
        "named": "its name has 70000 bytes",
        "no record": "its record is missing, or is no hash",
        "a string": "its record is missing, or is no hash",
    }
    assert [job_id for job_id in jobs if job_id not in reasons] == ["good", "last"]
    taken = await take(source, "q", list(jobs.values()))
    assert [one is not None for one in taken] == [job_id in {"good", "last"} for job_id in jobs]
    assert len(await read(source, "q")) == 10


async def test_a_payload_of_a_hundred_megabytes_is_not_read(library: str) -> None:
    with RedisServer() as server, server.connect(30) as wire:
        queue = Queue(wire, "bull", library)
        queue.wait("huge")
        # The server makes it: it need not travel.
        wire.call(
            "EVAL", "redis.call('HSET', KEYS[1], 'data', string.rep('x', 104857600))", 1, f"{queue.head}huge"
        )
        queue.wait("small")
        source = source_of(library, server.url, "bull")
        await source.open()
        sent = int(server.info("stats")["total_net_output_bytes"])
        huge, small = await read(source, "q")
        assert int(server.info("stats")["total_net_output_bytes"]) - sent < 100_000
        assert huge.refusal == "its data has 104857600 bytes, and 1048576 are read"
        assert huge.size == 104_857_600
        assert small.refusal == ""
        assert await take(source, "q", [huge]) == [None]
        await source.close()


@pytest.mark.parametrize(
    "job_id", ["a:b:c", "with spaces", "ünïcode ☃", "%s{}[]*?\\", "0:123", "\n\t\x00", "wait", "repeat:x:1"]
)
async def test_ids_of_all_kinds(source: Source, queue: Queue, job_id: str, wire: Connection) -> None:
    if job_id == "wait":  # its hash would lie where the list does
        wire.call("LPUSH", f"{queue.head}wait", job_id)
        (job,) = await read(source, "q")
        assert job.refusal == "its record is missing, or is no hash"
        return
    queue.wait(job_id, data='{"n":1}')
    (job,) = await read(source, "q")
    assert job.source_id == job_id
    assert None not in await take(source, "q", [job])
    assert await revert_all(source, "q") == 1
    assert [found.source_id for found in await read(source, "q")] == [job_id]


async def test_an_id_that_is_no_text(source: Source, queue: Queue, wire: Connection) -> None:
    wire.call("EVAL", "redis.call('LPUSH', KEYS[1], '\\255\\254')", 1, f"{queue.head}wait")
    queue.wait("good")
    strange, good = await read(source, "q")
    assert strange.source_id == "\\xff\\xfe"
    assert "no text" in strange.refusal
    assert await take(source, "q", [strange]) == [None]
    assert None not in await take(source, "q", [good])


async def test_keys_of_wrong_types(source: Source, queue: Queue, wire: Connection, library: str) -> None:
    for name in ("delayed", "wait", "failed", "repeat"):
        wire.call("SET", f"{queue.head}{name}", "x")
    queue.write("good", failedReason="no")
    wire.call("ZADD", f"{queue.head}completed", 1_700_000_000_000, "good")
    wire.call("SET", f"{queue.head}good:logs", "x")
    if is_bullmq(library):
        wire.call("HSET", f"{queue.head}good", "parentKey", f"{queue.head}wait")
        wire.call("SET", f"{queue.head}wait:dependencies", "x")
    jobs = {job.source_id: job for job in await read(source, "q")}
    assert {name: "was read" in job.refusal for name, job in jobs.items()} == {
        "(wait)": True,
        "(delayed)": True,
        "(failed)": True,
        "good": False,
    }
    assert await source.repeatables("q") == []
    assert await source.logs(jobs["good"]) == []
    assert None not in await take(source, "q", [jobs["good"]])
    assert await revert_all(source, "q") == 1


async def test_flows_that_lead_in_a_circle(
    source: Source, queue: Queue, wire: Connection, library: str
) -> None:
    if not is_bullmq(library):
        pytest.skip("Bull has no flows")
    for one, other in (("a", "b"), ("b", "c"), ("c", "a"), ("self", "self")):
        queue.wait(one, parentKey=f"{queue.head}{other}")
        wire.call("SADD", f"{queue.head}{other}:dependencies", f"{queue.head}{one}")
    queue.wait("orphan", parentKey=f"{queue.head}nobody")
    jobs = {job.source_id: job for job in await read(source, "q")}
    assert {name for name, job in jobs.items() if "circle" in job.refusal} == {"a", "b", "c", "self"}
    assert (jobs["orphan"].refusal, jobs["orphan"].parent) == ("", "")


async def test_schedules_of_all_kinds(source: Source, queue: Queue, wire: Connection, library: str) -> None:
    wire.call("ZADD", f"{queue.head}repeat", 1_700_000_000_000, "bad:::::")
    wire.call("ZADD", f"{queue.head}repeat", 1_700_000_000_000, "a" * 3000 + ":" * 3000)
    wire.call("ZADD", f"{queue.head}repeat", 1_700_000_000_000, "huge")
    wire.call(
        "HSET", f"{queue.head}repeat:huge", "data", "x" * 70_000, "name", "n", "ic", "1", "every", "1000"
    )
    wire.call("SET", f"{queue.head}repeat:bad:::::", "x")
    found = await source.repeatables("q")
    assert len(found) == 3
    assert all(one.refusal for one in found)
    assert [await take_schedule(source, one) for one in found] == [None] * 3
    assert wire.call("ZCARD", f"{queue.head}repeat") == 3
    if is_bullmq(library):
        assert [one.refusal for one in found if one.source_id == "huge"] == ["its data has 70000 bytes"]


async def test_queues_with_strange_names(
    source: Source, wire: Connection, namespace: str, library: str
) -> None:
    names = ["a:b", "with space", "[x]*", "ü", "{tag}"]
    for name in names:
        Queue(wire, namespace, library, name).wait("1")
    wire.call("HSET", f"{namespace}:no queue:id", "is", "a job")
    assert await source.queues() == sorted(names)
    for name in names:
        jobs = await read(source, name)
        assert None not in await take(source, name, jobs)
        assert await revert_all(source, name) == 1


async def test_queues_of_the_other_library_are_left_out(
    source: Source, library: str, wire: Connection, namespace: str
) -> None:
    """Both keep their keys below `bull:` unless they are told another prefix."""
    Queue(wire, namespace, library, "mine").wait("1")
    Queue(wire, namespace, "bull4" if is_bullmq(library) else "bullmq5", "other").wait("1")
    assert await source.queues() == ["mine"]
    with pytest.raises(BrokerRefusedError, match="write --from bull"):
        await source.counts("other")
    with pytest.raises(BrokerRefusedError, match="'other' is one of Bull"):
        await read(source, "other")


async def test_a_prefix_that_is_a_pattern(
    library: str, redis_url: str, wire: Connection, namespace: str
) -> None:
    Queue(wire, f"{namespace}x", library, "other").wait("1")
    Queue(wire, f"{namespace}?", library, "mine").wait("1")
    source = source_of(library, redis_url, f"{namespace}?")
    await source.open()
    assert await source.queues() == ["mine"]
    await source.close()


@pytest.mark.xdist_group("cluster")
async def test_a_cluster_with_a_hash_tag(library: str, redis_cluster: RedisCluster, namespace: str) -> None:
    import redis.asyncio.cluster  # noqa: PLC0415 - here only

    source = source_of(library, redis_cluster.url, f"{{{namespace}}}")
    await source.open()
    host = redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=redis_cluster.primaries[0].port)
    head = f"{{{namespace}}}:q:"
    await host.set(f"{head}id", 1)
    if is_bullmq(library):
        await host.hset(f"{head}meta", "opts.maxLenEvents", "10000")
    for number in range(5):
        await host.hset(f"{head}{number}", mapping={"name": "n", "data": "{}", "opts": "{}", "timestamp": 1})
        await host.lpush(f"{head}wait", str(number))
    assert await source.queues() == ["q"]
    jobs = await read(source, "q")
    assert [job.source_id for job in jobs] == list("01234")
    assert None not in await take(source, "q", jobs)
    assert await revert_all(source, "q") == 5
    assert [job.source_id for job in await read(source, "q")] == list("01234")
    await host.aclose()
    await source.close()


async def test_a_long_list_that_moves_while_it_is_read(
    source: Source, queue: Queue, wire: Connection
) -> None:
    """Workers take from its right end, producers add at its left, and some of it is taken: none that stays is missed."""
    total = 5000
    for number in range(total):
        queue.wait(f"j{number}")
    seen: list[str] = []
    turn = 0
    added = total
    async for page in source.pages("q", [FoundState.WAITING]):
        seen += [job.source_id for job in page]
        turn += 1
        if turn % 3 == 0:  # every third page is taken
            await take(source, "q", page)
        if turn % 4 == 0:
            for _ in range(30):
                wire.call("RPOP", f"{queue.head}wait")
        queue.wait(f"j{added}")
        added += 1
    assert len(seen) == len(set(seen))
    left: Any = wire.call("LRANGE", f"{queue.head}wait", 0, -1)
    missed = [job_id for job_id in left if job_id not in set(seen) and int(job_id[1:]) < total]
    assert missed == []


async def test_what_ended_since_its_id_was_read_is_not_refused(source: Source, queue: Queue) -> None:
    """Its attempts are used up, but not in vain: a worker was first."""
    queue.wait("ended", atm=1, attemptsMade=1, finishedOn=1_700_000_000_001)
    queue.wait("waits")
    assert [job.source_id for job in await read(source, "q")] == ["waits"]


async def test_a_long_set_of_one_score(source: Source, queue: Queue, wire: Connection) -> None:
    total = 1700
    for number in range(total):
        queue.write(f"j{number}")
        wire.call("ZADD", f"{queue.head}delayed", 1_700_000_000_000 * 4096, f"j{number}")
    seen: list[str] = []
    turn = 0
    async for page in source.pages("q", [FoundState.DELAYED]):
        seen += [job.source_id for job in page]
        turn += 1
        if turn % 2:
            await take(source, "q", page)
    assert sorted(seen) == sorted(f"j{number}" for number in range(total))


async def test_large_payloads_are_read_and_taken_a_few_a_call(source: Source, queue: Queue) -> None:
    """Of a very large one the ends are compared: what was changed there since it was read stays."""
    large, largest = json.dumps({"text": "x" * 50_000}), json.dumps({"text": "x" * 400_000})
    for number in range(12):
        queue.wait(str(number), data=large)
    queue.wait("changed", data=largest)
    queue.wait("largest", data=largest)
    jobs = await read(source, "q")
    assert [len(job.args[0]["text"]) for job in jobs] == [50_000] * 12 + [400_000] * 2
    queue.write("changed", data=largest.replace('x"', 'y"'))
    taken = await take(source, "q", jobs)
    assert [job.source_id for job, one in zip(jobs, taken, strict=True) if one is None] == ["changed"]


async def test_what_is_far_from_both_ends_is_left(source: Source, queue: Queue, wire: Connection) -> None:
    """Walking there would hold the server up: it comes nearer when those before it have gone."""
    queue.wait("deep")
    (deep,) = await read(source, "q")
    for push in ("LPUSH", "RPUSH"):
        for turn in range(11):
            wire.call(push, f"{queue.head}wait", *(f"{push}{turn * 1000 + number}" for number in range(1000)))
    (left,) = await answers(source, "q", [deep])
    assert isinstance(left, Stays)
    assert "10,000" in left.why
    wire.call("LTRIM", f"{queue.head}wait", 0, -5000)
    (taken,) = await take(source, "q", [deep])
    assert isinstance(taken, Taken)


async def test_a_fresh_look_at_long_places_finds_what_is_new(
    source: Source, queue: Queue, wire: Connection
) -> None:
    many = [
        word for number in range(3000) for word in (str((1_700_000_000_000 + number) * 4096), f"old{number}")
    ]
    wire.call("ZADD", f"{queue.head}delayed", *many)
    wire.call("LPUSH", f"{queue.head}wait", *(f"left{number}" for number in range(3000)))
    queue.wait("new")
    queue.write("later")
    wire.call("ZADD", f"{queue.head}delayed", (1_700_000_000_000 + 2990) * 4096, "later")
    found: set[str] = set()
    for _ in range(4):
        async for page in source.pages("q", tuple(FoundState), fresh_since_ms=1):
            found |= {job.source_id for job in page if not job.refusal}
    assert found == {"new", "later"}


def test_a_walk_remembers_a_bounded_number_of_ids() -> None:
    recent = walking._Recent()
    for number in range(100_000):
        recent.add(b"%d" % number)
    assert b"99999" in recent
    assert b"0" not in recent
    assert len(json.dumps(sorted(map(bytes.decode, recent._known)))) < 300_000
