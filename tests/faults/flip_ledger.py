"""What became of the jobs of a flip run: producers' and handlers' own files against what the carriers have."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.brokers.base import JobQuery
from headway.job import JobRecord, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from headway.brokers.base import Store

_PAGE = 1000
PROMPT_MS: Final = 1000
"""Names hold over a change of routes for enqueues that take no longer: `docs/explanation/moving.md`, who dies when."""

Found = dict[str, list[tuple[str, JobRecord]]]


class FlipLedger(Struct, frozen=True):
    """What a run came to; `wrong` has a sentence for each fault."""

    accepted: int
    open: int  # asked for, not told, and accepted all the same
    failed: int  # calls that raised
    told_duplicates: int
    on: dict[str, int]  # jobs by carrier
    flips: int
    moved: int
    again: int  # handlers that ran to their end more than once, behind a crash
    seconds: float
    late: int  # names that two jobs had where a call took longer than names are promised for
    wrong: list[str]

    def table(self) -> str:
        """Show it in a few lines."""
        rate = self.accepted / self.seconds if self.seconds else 0.0
        return (
            f"{self.accepted} jobs accepted in {self.seconds:.0f} s ({rate:.0f}/s), {self.open} of them by calls that were "
            f"cut off, {self.failed} calls failed, {self.told_duplicates} told that they are duplicates; on {self.on}; "
            f"{self.flips} flips, {self.moved} waiting jobs moved, {self.again} handlers ended twice after a crash; "
            f"{self.late} names taken twice by calls of more than {PROMPT_MS} ms; "
            f"wrong {len(self.wrong)}"
        )


async def all_jobs(carriers: Mapping[str, Store]) -> Found:
    """Return every job of every carrier by id; traces of jobs that were moved are none."""
    found: Found = defaultdict(list)
    for name, store in carriers.items():
        after: str | None = None
        while True:
            page = await store.list(JobQuery(), after=after, limit=_PAGE)
            for record in page.jobs:
                if not record.withdrawn:
                    found[record.id].append((name, record))
            if page.cursor is None:
                break
            after = page.cursor
    return dict(found)


def judge(
    found: Found,
    asked: Sequence[dict[str, Any]],
    effects: Sequence[dict[str, Any]],
    killed: Collection[int] = (),
) -> FlipLedger:
    """Compare; `killed` are the processes that may have run a job to its end and died before they could say so."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in asked:
        lines[line["what"]].append(line)
    asks = {line["tag"]: line for line in lines["ask"]}
    told = {line["tag"]: line for line in lines["told"]}
    own = {line["id"]: line["tag"] for line in lines["told"] if not line["duplicate"]}
    ran: dict[str, Counter[str]] = defaultdict(Counter)
    tags: dict[str, set[str]] = defaultdict(set)
    for line in effects:
        ran[line["job"]][line["what"]] += 1
        ran[line["job"]]["told"] += line["what"] == "end" and line["pid"] not in killed
        tags[line["job"]].add(line["tag"])
    wrong = [
        *_misplaced(found),
        *_lost(found, told),
        *_runs(found, ran),
        *_tags(asks, own, tags),
    ]
    names = [*_keys(asks, told, tags), *_overlaps(asks, told, found)]
    wrong += [said for said, took_ms in names if took_ms <= PROMPT_MS]
    at = [line["at_ms"] for line in lines["told"]]
    return FlipLedger(
        accepted=len(found),
        open=sum(job not in own for job in found),
        failed=len(lines["failed"]),
        told_duplicates=sum(line["duplicate"] for line in lines["told"]),
        on=dict(Counter(name for places in found.values() for name, _ in places)),
        flips=len(lines["flip"]),
        moved=sum(line["count"] for line in lines["moved"]),
        again=sum(one["end"] > 1 for one in ran.values()),
        seconds=(max(at) - min(at)) / 1000 if at else 0.0,
        late=sum(took_ms > PROMPT_MS for _, took_ms in names),
        wrong=wrong,
    )


def _misplaced(found: Found) -> Iterator[str]:
    for job, places in found.items():
        if len(places) > 1:
            yield f"{job} is on {', '.join(f'{name} ({record.state})' for name, record in places)}"
        for name, record in places:
            if record.state is not JobState.SUCCEEDED:
                yield f"{job} of task {record.task} is {record.state} on {name}: {record.reason}"


def _lost(found: Found, told: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for tag, line in told.items():
        if line["id"] not in found:
            yield f"{tag} was told {line['id']} (duplicate: {line['duplicate']}), which no carrier has"


def _runs(found: Found, ran: Mapping[str, Counter[str]]) -> Iterator[str]:
    for job, places in found.items():
        runs = ran.get(job, Counter())
        for name, record in places[:1]:
            if not runs["end"] or runs["told"] > 1 + record.crashes or runs["start"] > record.epoch:
                yield (
                    f"{job} on {name}: handler started {runs['start']} times and ended {runs['end']} times, "
                    f"{runs['told']} of them in processes that were not killed, under {record.epoch} leases with "
                    f"{record.crashes} crashes"
                )
    for job, runs in ran.items():
        if job not in found:
            yield f"{job} ran {runs['start']} times, and no carrier has it"


def _tags(asks: Mapping[str, Any], own: Mapping[str, str], tags: Mapping[str, set[str]]) -> Iterator[str]:
    jobs: dict[str, set[str]] = defaultdict(set)
    for job, some in tags.items():
        for tag in some:
            jobs[tag].add(job)
            if tag not in asks:
                yield f"{job} ran for {tag}, which nobody asked for"
    for job, tag in own.items():
        jobs[tag].add(job)
    for tag, ids in jobs.items():
        if len(ids) > 1:
            yield f"{tag} became {len(ids)} jobs: {', '.join(sorted(ids))}"


def _keys(
    asks: Mapping[str, dict[str, Any]], told: Mapping[str, dict[str, Any]], tags: Mapping[str, set[str]]
) -> Iterator[tuple[str, int]]:
    """One job for each idempotency key, whoever asks."""
    ids: dict[str, set[str]] = defaultdict(set)
    for tag, line in told.items():
        if key := asks[tag].get("key"):
            ids[key].add(line["id"])
    for job, some in tags.items():
        for tag in some:
            if key := asks.get(tag, {}).get("key"):
                ids[key].add(job)
    for key, some in ids.items():
        if len(some) > 1:
            took = _took([tag for tag, line in asks.items() if line.get("key") == key], asks, told)
            yield (
                f"{key} has {len(some)} jobs: {', '.join(sorted(some))}; its calls took {took} ms",
                max(took),
            )


def _overlaps(
    asks: Mapping[str, dict[str, Any]], told: Mapping[str, dict[str, Any]], found: Found
) -> Iterator[tuple[str, int]]:
    """No second job of a unique name is accepted for sure before the first has ended for sure."""
    named: dict[str, list[tuple[int, int, int, str]]] = defaultdict(list)
    for tag, line in told.items():
        if (who := asks[tag].get("who")) and not line["duplicate"] and line["id"] in found:
            ended = found[line["id"]][0][1].finished_ms or 0
            named[who].append((asks[tag]["at_ms"], line["at_ms"], ended, line["id"]))
    for who, jobs in named.items():
        jobs.sort()
        for (began_ms, told_ms, ended_ms, first), (asked_ms, later_ms, _, second) in itertools.pairwise(jobs):
            if told_ms < asked_ms and later_ms < ended_ms:
                took = max(told_ms - began_ms, later_ms - asked_ms)
                yield f"{who}: {second} was accepted {ended_ms - later_ms} ms before {first} ended", took


def _took(tags: Iterable[str], asks: Mapping[str, Any], told: Mapping[str, Any]) -> list[int]:
    """Return how long these calls took, in ms; one that was not answered, until the last line of all."""
    over = max((line["at_ms"] for line in (*asks.values(), *told.values())), default=0)
    return [(told[tag]["at_ms"] if tag in told else over) - asks[tag]["at_ms"] for tag in tags]
