"""All guard stores do the same: what `headway.guards.base.GuardStore` says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.guards import scripted
from headway.guards.base import Entry
from headway.storage import patience
from tests.integration.guard_places import KINDS, NETWORKED, Place, own_place, shared_place
from tests.servers import Direction, RedisServer, RestProxy, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.guards.base import GuardStore

COUNTER = Path(__file__).with_name("guard_counter.py")
NOW = 1_000_000


@pytest.fixture
def place(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
    return shared_place(request.param, namespace, tmp_path, request)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[GuardStore]:
    async with place.open() as opened:
        yield opened


on_all = pytest.mark.parametrize("place", KINDS, indirect=True)
on_networked = pytest.mark.parametrize("place", NETWORKED, indirect=True)


def entry(
    key: str = "k",
    version: int = 1,
    *,
    group: str = "mail",
    tag: str = "running",
    forget: int | None = None,
    data: bytes = b"\x00\xff",
) -> Entry:
    return Entry(key, version, group, tag, NOW, forget, data)


async def all_keys(
    store: GuardStore, limit: int, *, groups: list[str] | None = None, tags: list[str] | None = None
) -> list[str]:
    keys: list[str] = []
    after: str | None = None
    while True:
        page = await store.page(groups=groups, tags=tags, after=after, limit=limit, now_ms=NOW)
        assert len(page.entries) <= limit
        keys += [found.key for found in page.entries]
        if page.cursor is None:
            return keys
        after = page.cursor


@on_all
class TestOneEntry:
    async def test_the_first_insert_keeps_the_second_is_told(self, store: GuardStore) -> None:
        first = entry(data=bytes(range(256)), forget=NOW + 5)
        assert await store.insert(first, now_ms=NOW) is None
        assert await store.insert(entry(tag="other"), now_ms=NOW) == first
        assert await store.read(["k", "unknown", "k"], now_ms=NOW) == [first, None, first]

    async def test_a_swap_needs_the_version_before(self, store: GuardStore) -> None:
        await store.insert(entry(), now_ms=NOW)
        assert not await store.swap(entry(version=3), now_ms=NOW)
        assert not await store.swap(entry("unknown", 2), now_ms=NOW)
        second = entry(version=2, tag="done", group="other", data=b"")
        assert await store.swap(second, now_ms=NOW)
        assert await store.read(["k"], now_ms=NOW) == [second]
        assert not await store.swap(entry(version=2, tag="late"), now_ms=NOW)
        assert await store.read(["k"], now_ms=NOW) == [second]

    @pytest.mark.parametrize("forget", [None, NOW + 1])
    async def test_a_swap_that_is_repeated_was_applied(self, store: GuardStore, forget: int | None) -> None:
        await store.insert(entry(), now_ms=NOW)
        second = entry(version=2, forget=forget)
        assert [await store.swap(second, now_ms=NOW) for _ in range(3)] == [True, True, True]
        for changed in ("tag", "group", "data"):
            other = msgspec.structs.replace(second, **{changed: b"x" if changed == "data" else "x"})
            assert not await store.swap(other, now_ms=NOW)
        assert not await store.swap(msgspec.structs.replace(second, forget_ms=NOW + 2), now_ms=NOW)
        assert not await store.swap(msgspec.structs.replace(second, changed_ms=1), now_ms=NOW)

    async def test_delete_needs_the_version(self, store: GuardStore) -> None:
        await store.insert(entry(), now_ms=NOW)
        assert not await store.delete("k", 2)
        assert not await store.delete("unknown", 1)
        assert await store.delete("k", 1)
        assert await store.read(["k"], now_ms=NOW) == [None]
        assert await store.counts(now_ms=NOW) == {}
        assert await store.insert(entry(), now_ms=NOW) is None

    async def test_any_text_is_a_key_a_group_or_a_tag(self, store: GuardStore) -> None:
        texts = [
            "",
            " ",
            "a b",
            "a/b",
            "%3A",
            "ä:ö",
            "日本語",
            "-",
            "(",
            "{x}",
            "\n",
            "'; DROP",
            "😀",
            "x" * 300,
        ]
        for text in texts:
            assert await store.insert(entry(f"k{text}", group=f"g{text}", tag=text), now_ms=NOW) is None
            assert await store.insert(entry(f"l{text}", group=text, tag=text), now_ms=NOW) is None
        assert await store.read([f"k{text}" for text in texts], now_ms=NOW) == [
            entry(f"k{text}", group=f"g{text}", tag=text) for text in texts
        ]
        kinds = {(group, text) for text in texts for group in (text, f"g{text}")}
        assert await store.counts(now_ms=NOW) == dict.fromkeys(kinds, 1)
        for text in texts:
            assert await all_keys(store, 9, groups=[text], tags=[text]) == [f"l{text}"]

    async def test_large_data_is_kept(self, store: GuardStore) -> None:
        large = entry(data=bytes(range(256)) * 2000)
        await store.insert(large, now_ms=NOW)
        assert await store.read(["k"], now_ms=NOW) == [large]

    async def test_what_cannot_be_stored_is_refused(self, store: GuardStore) -> None:
        with pytest.raises(BrokerRefusedError):
            await store.insert(entry("\udc80"), now_ms=NOW)
        with pytest.raises(BrokerRefusedError):
            await store.insert(msgspec.structs.replace(entry(), changed_ms=2**70), now_ms=NOW)
        assert await store.insert(entry(), now_ms=NOW) is None

    async def test_apps_do_not_see_each_other(self, place: Place, store: GuardStore, namespace: str) -> None:
        await store.insert(entry(), now_ms=NOW)
        async with place.open(f"{namespace}2") as other:
            assert await other.read(["k"], now_ms=NOW) == [None]
            assert await other.insert(entry(tag="other"), now_ms=NOW) is None
            assert await other.counts(now_ms=NOW) == {("mail", "other"): 1}
        assert await all_keys(store, 5) == ["k"]

    async def test_no_keys_no_entries(self, store: GuardStore) -> None:
        assert await store.read([], now_ms=NOW) == []
        assert await all_keys(store, 5) == []
        assert await store.counts(now_ms=NOW) == {}


@on_all
class TestForgetting:
    async def test_what_is_due_counts_as_not_there(self, store: GuardStore) -> None:
        await store.insert(entry(forget=NOW + 10), now_ms=NOW)
        assert await store.read(["k"], now_ms=NOW + 9) != [None]
        assert await store.read(["k"], now_ms=NOW + 10) == [None]
        assert (await store.page(groups=None, tags=None, after=None, limit=5, now_ms=NOW + 10)).entries == []
        assert not await store.swap(entry(version=2), now_ms=NOW + 10)
        assert await store.insert(entry(tag="new"), now_ms=NOW + 10) is None
        assert await store.counts(now_ms=NOW + 10) == {("mail", "new"): 1}

    async def test_counts_leave_out_what_is_due(self, store: GuardStore) -> None:
        for number in range(5):
            await store.insert(entry(f"k{number}", forget=NOW + number), now_ms=0)
        await store.insert(entry("kept"), now_ms=0)
        assert await store.counts(now_ms=NOW + 2) == {("mail", "running"): 3}

    async def test_prune_forgets_what_is_due_and_says_how_many(self, store: GuardStore) -> None:
        for number in range(30):
            await store.insert(entry(f"k{number}", forget=NOW + number), now_ms=0)
        assert await store.prune(now_ms=NOW - 1) == 0
        assert await store.prune(now_ms=NOW + 19, limit=15) == 15
        assert await store.prune(now_ms=NOW + 19) == 5
        assert await store.prune(now_ms=NOW + 19) == 0
        assert await store.counts(now_ms=0) == {("mail", "running"): 10}

    async def test_writes_forget_a_few_by_the_way(self, store: GuardStore) -> None:
        for number in range(25):
            await store.insert(entry(f"k{number:02}", forget=NOW), now_ms=0)
        await store.insert(entry("one"), now_ms=NOW)
        await store.swap(entry("one", 2), now_ms=NOW)
        assert await store.prune(now_ms=NOW) == 5

    async def test_a_swap_may_change_when_it_is_forgotten(self, store: GuardStore) -> None:
        await store.insert(entry(forget=NOW + 1), now_ms=NOW)
        await store.swap(entry(version=2), now_ms=NOW)
        assert await store.prune(now_ms=NOW + 100) == 0
        await store.swap(entry(version=3, forget=NOW + 2), now_ms=NOW)
        assert await store.prune(now_ms=NOW + 100) == 1


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_by_no_plan_more_is_forgotten_than_a_limit_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL may choose this plan by itself, as it happens to know the table."""
    ways = ("hashjoin", "mergejoin", "hashagg", "sort", "material")
    monkeypatch.setenv("PGOPTIONS", " ".join(f"-c enable_{way}=off" for way in ways))
    async with place.open() as store:
        for number in range(30):
            await store.insert(entry(f"k{number}", forget=NOW), now_ms=0)
        assert await store.prune(now_ms=NOW, limit=15) == 15
        await store.insert(entry("one"), now_ms=NOW)
        assert await store.prune(now_ms=NOW) == 5


@on_all
class TestPages:
    async def test_pages_begin_with_the_last_key_and_end(self, store: GuardStore) -> None:
        keys = ["B", "a", "b", "z", "zz", "ä", "日", "😀"]
        await asyncio.gather(*(store.insert(entry(key), now_ms=NOW) for key in keys))
        for limit in (1, 2, 3, 7, 8, 9):
            assert await all_keys(store, limit) == keys[::-1]

    async def test_pages_are_chosen_by_group_and_tag(
        self, store: GuardStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scripted, "_LOOKS", 100)  # several commands for one page
        groups, tags = ("a", "b", ":keys"), ("x", "y", "z")
        entries = [
            entry(f"{number:03}", group=groups[number % 3], tag=tags[number // 3 % 3])
            for number in range(270)
        ]
        await asyncio.gather(*(store.insert(one, now_ms=NOW) for one in entries))
        for wanted_groups in (None, ["a"], ["b", ":keys"], [":keys"], [], ["unknown"]):
            for wanted_tags in (None, ["x"], ["y", "z"], []):
                expected = [
                    one.key
                    for one in reversed(entries)
                    if (
                        not one.group.startswith(":") if wanted_groups is None else one.group in wanted_groups
                    )
                    and (wanted_tags is None or one.tag in wanted_tags)
                ]
                assert await all_keys(store, 40, groups=wanted_groups, tags=wanted_tags) == expected

    async def test_a_page_stays_where_it_was_while_others_write(self, store: GuardStore) -> None:
        for number in range(10):
            await store.insert(entry(f"k{number}"), now_ms=NOW)
        first = await store.page(groups=None, tags=None, after=None, limit=4, now_ms=NOW)
        await store.delete("k6", 1)
        await store.insert(entry("k99"), now_ms=NOW)  # before the cursor
        await store.insert(entry("k33"), now_ms=NOW)
        await store.swap(entry("k5", 2, tag="done"), now_ms=NOW)
        second = await store.page(groups=None, tags=None, after=first.cursor, limit=9, now_ms=NOW)
        assert [one.key for one in second.entries] == ["k5", "k4", "k33", "k3", "k2", "k1", "k0"]
        assert second.cursor is None


@on_all
class TestAtOnce:
    async def test_one_insert_wins(self, place: Place) -> None:
        async with place.open() as one, place.open() as two:
            entries = [entry(data=bytes([number])) for number in range(40)]
            answers = await asyncio.gather(
                *((one, two)[number % 2].insert(each, now_ms=NOW) for number, each in enumerate(entries))
            )
            (winner,) = [each for each, answer in zip(entries, answers, strict=True) if answer is None]
            assert [answer for answer in answers if answer is not None] == [winner] * 39

    async def test_one_swap_wins_each_version(self, place: Place) -> None:
        async with place.open() as one, place.open() as two:
            await one.insert(entry(), now_ms=NOW)
            for version in range(2, 8):
                entries = [entry(version=version, data=bytes([number])) for number in range(20)]
                answers = await asyncio.gather(
                    *((one, two)[number % 2].swap(each, now_ms=NOW) for number, each in enumerate(entries))
                )
                (winner,) = [each for each, answer in zip(entries, answers, strict=True) if answer]
                assert await two.read(["k"], now_ms=NOW) == [winner]

    async def test_processes_count_together(self, place: Place, store: GuardStore) -> None:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(COUNTER), place.url, place.namespace, "50", str(number)
            )
            for number in range(2)
        ]
        assert await asyncio.gather(*(process.wait() for process in processes)) == [0, 0]
        (there,) = await store.read(["counter"], now_ms=0)
        assert there is not None
        assert there.version == 101

    async def test_many_writers_and_forgetters_leave_exact_counts(self, place: Place) -> None:
        async with place.open() as one, place.open() as two:

            async def live(number: int) -> None:
                store = (one, two)[number % 2]
                assert await store.insert(entry(f"k{number}"), now_ms=0) is None
                forget = 5 if number % 3 else None
                assert await store.swap(entry(f"k{number}", 2, tag="done", forget=forget), now_ms=0)
                await store.insert(entry(f"other{number}"), now_ms=10)

            await asyncio.gather(*(live(number) for number in range(60)))
            assert await one.counts(now_ms=10) == {("mail", "done"): 20, ("mail", "running"): 60}
            assert len(await all_keys(two, 7)) == 80


@on_all
class TestCost:
    async def test_insert_swap_and_read_are_one_command_each(self, store: GuardStore) -> None:
        await store.insert(entry("first"), now_ms=NOW)  # a server learns each script once
        await store.swap(entry("first", 2), now_ms=NOW)
        before = store.commands
        await store.insert(entry(forget=NOW + 1), now_ms=NOW)
        assert store.commands - before == 1
        await store.swap(entry(version=2, forget=NOW + 1), now_ms=NOW)
        assert store.commands - before == 2
        await store.insert(entry(), now_ms=NOW)  # a second delivery
        assert store.commands - before == 3
        await store.read(["k", "first"], now_ms=NOW)
        assert store.commands - before == 4

    async def test_open_and_close_may_be_repeated(self, place: Place) -> None:
        async with place.open() as store:
            await store.open()
            await store.insert(entry(), now_ms=NOW)
            await store.close()
            await store.close()
            with pytest.raises(BrokerUnavailableError, match="not open"):
                await store.read(["k"], now_ms=NOW)
            await store.open()
            assert await store.read(["k"], now_ms=NOW) == [entry()]


@on_networked
class TestFaults:
    async def test_a_lost_answer_does_no_harm(self, place: Place) -> None:
        async with TcpProxy(place.port) as proxy, place.behind(proxy.port).open() as store:
            await store.insert(entry("warm"), now_ms=NOW)
            await store.swap(entry("warm", 2), now_ms=NOW)
            proxy.reset_after(0, Direction.TO_CLIENT)
            assert await store.insert(entry(), now_ms=NOW) is None
            await proxy.wait_reset()
            proxy.reset_after(0, Direction.TO_CLIENT)
            assert await store.swap(entry(version=2), now_ms=NOW)
            await proxy.wait_reset()
            assert await store.insert(entry(), now_ms=NOW) == entry(version=2)

    async def test_a_cut_before_the_server_heard_is_repeated(self, place: Place) -> None:
        async with TcpProxy(place.port) as proxy, place.behind(proxy.port).open() as store:
            await store.insert(entry("warm"), now_ms=NOW)
            proxy.reset_after(0, Direction.TO_SERVER)
            assert await store.insert(entry(), now_ms=NOW) is None
            await proxy.wait_reset()

    async def test_a_server_that_hangs_is_not_waited_for(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with TcpProxy(place.port) as proxy, place.behind(proxy.port).open() as store:
            await store.insert(entry(), now_ms=NOW)
            monkeypatch.setattr(patience, "ANSWER_TIMEOUT", 0.1)
            monkeypatch.setattr(patience, "CALL_DEADLINE", 0.5)
            proxy.hang()
            answers = await asyncio.gather(
                *(store.read(["k"], now_ms=NOW) for _ in range(20)), return_exceptions=True
            )
            assert {type(answer) for answer in answers} == {BrokerUnavailableError}
            monkeypatch.undo()
            proxy.flow()
            assert await store.read(["k"], now_ms=NOW) == [entry()]

    async def test_nobody_there_is_said_without_secrets(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "OPEN_DEADLINE", 0.2)
        monkeypatch.setattr(patience, "CALL_DEADLINE", 0.2)
        async with TcpProxy(place.port) as proxy:
            await proxy.refuse()
            with pytest.raises(
                BrokerUnavailableError, match=f"127.0.0.1:{proxy.port}.*cannot be reached"
            ) as caught:
                async with place.behind(proxy.port).open() as store:
                    await store.read(["k"], now_ms=NOW)
            assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("kind", NETWORKED)
async def test_a_restart_of_the_server_is_survived(kind: str, namespace: str) -> None:
    async with own_place(kind, namespace) as own, own.place.open() as store:
        await asyncio.gather(*(store.insert(entry(f"k{number}"), now_ms=NOW) for number in range(30)))
        own.restart()
        answers = await asyncio.gather(*(store.read([f"k{number}"], now_ms=NOW) for number in range(30)))
        assert answers == [[entry(f"k{number}")] for number in range(30)]
        restarting = asyncio.create_task(asyncio.to_thread(own.restart))
        for number in range(30):
            assert await store.swap(entry(f"k{number}", 2), now_ms=NOW)
        await restarting
        assert await store.counts(now_ms=NOW) == {("mail", "running"): 30}


class TestRedis:
    @pytest.fixture(params=["redis", "http_redis"])
    def place(self, request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
        return shared_place(request.param, namespace, tmp_path, request)

    async def test_one_reads_by_http_what_the_other_wrote_by_tcp(
        self, redis_server: RedisServer, rest_proxy: RestProxy, namespace: str
    ) -> None:
        async with (
            Place("", redis_server.url, namespace).open() as tcp,
            Place("", rest_proxy.url, namespace).open() as http,
        ):
            await tcp.insert(entry("ä"), now_ms=NOW)
            assert await http.insert(entry("ä"), now_ms=NOW) == entry("ä")
            assert await http.swap(entry("ä", 2), now_ms=NOW)
            assert await tcp.read(["ä"], now_ms=NOW) == [entry("ä", 2)]

    async def test_damaged_entries_are_named_and_stop_nobody_else(
        self, place: Place, redis_server: RedisServer, namespace: str
    ) -> None:
        prefix = f"hw:{{{namespace}}}:guard:"
        async with place.open() as store:
            redis_server.call("HSET", prefix + "entries", "form", "rubbish")
            redis_server.call("HSET", prefix + "entries", "data", "1 - mail/running !!!")
            redis_server.call("ZADD", prefix + "forget", 1, "form")
            redis_server.call("ZADD", prefix + "forget", 1, "gone")
            redis_server.call("ZADD", prefix + "names", 0, "form", 0, "nothing")
            # They can be replaced by their versions; what reads them finds nothing that they could be.
            form = Entry("form", 0, "", "", 0, None, b"")
            assert await store.read(["form"], now_ms=0) == [form]
            assert (await store.page(groups=None, tags=None, after=None, limit=9, now_ms=0)).entries == []
            assert await store.read(["data"], now_ms=0) == [Entry("data", 1, "mail", "running", 0, None, b"")]
            assert await store.insert(entry("form"), now_ms=0) == form
            assert await store.swap(entry("form", 1, data=b"new"), now_ms=0)
            assert await store.delete("form", 1)
            redis_server.call("HSET", prefix + "entries", "form", "rubbish")
            redis_server.call("ZADD", prefix + "forget", 1, "form")
            assert await store.insert(entry("data"), now_ms=0) == Entry(
                "data", 1, "mail", "running", 0, None, b""
            )
            assert await store.swap(entry("data", 2), now_ms=0)
            assert await store.insert(entry(), now_ms=NOW) is None  # forgets what is damaged and due
            assert await store.insert(entry("form"), now_ms=NOW) is None

    async def test_a_full_server_refuses(self, namespace: str) -> None:
        with (
            RedisServer(options={"maxmemory": "1", "maxmemory-policy": "noeviction"}) as server,
            RestProxy(server) as proxy,
        ):
            for url in (server.url, proxy.url):
                async with Place("", url, namespace).open() as store:
                    with pytest.raises(BrokerRefusedError, match="out of memory"):
                        await store.insert(entry(), now_ms=NOW)

    async def test_a_wrong_password_is_refused(self, namespace: str) -> None:
        with RedisServer(password="right") as server:
            url = server.url.replace("right", "wr0ng")
            with pytest.raises(BrokerRefusedError, match="password") as caught:
                async with Place("", url, namespace).open():
                    pass
            assert "wr0ng" not in str(caught.value)

    async def test_a_wrong_token_is_refused(self, rest_proxy: RestProxy, namespace: str) -> None:
        url = rest_proxy.url.replace(rest_proxy.token, "wr0ng")
        async with Place("", url, namespace).open() as store:
            with pytest.raises(BrokerRefusedError, match="token") as caught:
                await store.insert(entry(), now_ms=NOW)
            assert "wr0ng" not in str(caught.value)

    async def test_passing_failures_of_http_are_repeated(
        self, redis_server: RedisServer, namespace: str
    ) -> None:
        with RestProxy(redis_server) as proxy:
            async with Place("", proxy.url, namespace).open() as store:
                proxy.refuse(3)
                assert await store.insert(entry(), now_ms=NOW) is None
                proxy.lose_answers(2)
                assert await store.swap(entry(version=2), now_ms=NOW)
                proxy.lose_answers(2)
                assert await store.insert(entry("l"), now_ms=NOW) is None

    async def test_a_method_is_one_request(self, redis_server: RedisServer, namespace: str) -> None:
        with RestProxy(redis_server) as proxy:
            async with Place("", proxy.url, namespace).open() as store:
                assert proxy.requests == 0  # opening costs nothing
                await store.insert(entry(), now_ms=NOW)
                await store.swap(entry(version=2), now_ms=NOW)
                before = proxy.requests
                await store.insert(entry("l"), now_ms=NOW)
                await store.swap(entry("l", 2), now_ms=NOW)
                await store.read(["k", "l"], now_ms=NOW)
                assert proxy.requests - before == 3
                assert proxy.commands == store.commands


class TestPostgres:
    @pytest.fixture
    def place(self, request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
        return shared_place("postgres", namespace, tmp_path, request)

    async def test_many_create_the_table_at_once(self, place: Place, namespace: str) -> None:
        import psycopg  # noqa: PLC0415 - not for the others

        schema = f"s_{namespace}"
        async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as admin:
            await admin.execute(f"CREATE SCHEMA {schema}".encode())
        own = Place("", f"{place.url}?schema={schema}", namespace)

        async def use(number: int) -> None:
            async with own.open() as store:
                await store.insert(entry(f"k{number}"), now_ms=NOW)

        await asyncio.gather(*(use(number) for number in range(6)))
        async with own.open() as store, place.open() as other:
            assert len(await all_keys(store, 10)) == 6
            assert await all_keys(other, 10) == []

    async def test_what_is_wrong_is_said(self, place: Place, namespace: str) -> None:
        for url, told in (
            (place.url.replace("/postgres", "/nowhere"), "nowhere.*does not exist"),
            (place.url + "?schema=nowhere", "no such schema"),
        ):
            with pytest.raises(BrokerRefusedError, match=told):
                async with Place("", url, namespace).open():
                    pass

    async def test_a_nul_is_refused(self, place: Place) -> None:
        async with place.open() as store:
            with pytest.raises(BrokerRefusedError, match="NUL"):
                await store.insert(entry("a\0b"), now_ms=NOW)


class TestSqlite:
    async def test_a_foreign_file_is_left_alone(self, tmp_path: Path, namespace: str) -> None:
        path = tmp_path / "other.db"
        path.write_bytes(b"no database at all" * 100)
        with pytest.raises(BrokerRefusedError, match="not a SQLite database"):
            async with Place("", f"sqlite:///{path}", namespace).open():
                pass
        assert path.read_bytes() == b"no database at all" * 100

    async def test_a_missing_folder_is_said(self, tmp_path: Path, namespace: str) -> None:
        with pytest.raises(BrokerRefusedError, match="folder exists"):
            async with Place("", f"sqlite:///{tmp_path}/none/guard.db", namespace).open():
                pass
