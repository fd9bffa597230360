"""The judge of the soak: whether each job came to the end that its plan foretold, and cost no more than the rules allow.

It reads records and the lines that handlers wrote, so it judges the usual paths too, where no events are kept.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.codec import decode_history, decode_result
from headway.job import JobId, JobState
from tests.faults.plans import MAX_CRASHES, POISON

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from headway.job import JobRecord
    from tests.faults.plans import Asked, Want

Line = dict[str, Any]
_DIED: Final = "ProcessDiedError"
_BY_NEIGHBOURS: Final = 2  # crashes


class Circumstances(Struct, frozen=True):
    """What a history did to its workers."""

    harms: int = 0  # faults that may have ended a run: each costs a job at most one crash
    steady: frozenset[int] = frozenset()  # workers that lived to the end, and that no fault ever touched
    timely: bool = True  # no outage of the carrier, no stall of the machine: leases hold
    jumped: bool = False  # clocks were set: what waited for its time may be early


class Finding(Struct, frozen=True):
    """What is wrong with one job."""

    tag: str
    job_id: JobId | None
    text: str
    lost: bool = False
    twice: bool = False


def judge(
    asked: Sequence[Asked],
    records: Mapping[str, Sequence[JobRecord]],
    lines: Sequence[Line],
    circumstances: Circumstances,
) -> list[Finding]:
    """Judge all jobs; `records` are all that the carrier has, by tag."""
    by_tag: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_tag[line.get("tag", "")].append(line)
    # What jobs do to their process costs a neighbour two crashes at most: then it runs alone.
    harms = circumstances.harms + min(_BY_NEIGHBOURS, sum(line["what"] == "dies" for line in lines))
    held = sum(line["what"] == "start" and line["task"] == "soak_hold_gil" for line in lines)
    found: list[Finding] = []
    for one in asked:
        mine = records.get(one.tag, ())
        texts = [
            *_presence(one, mine, by_tag[one.tag]),
            *(
                (text, False, False)
                for record in mine
                if one.want is not None
                for text in (
                    *_faults(one, record, by_tag[one.tag], harms, held),
                    *(() if circumstances.jumped else hurried(one.want, by_tag[one.tag])),
                )
            ),
            *(
                (text, False, False)
                for text in (restarts(by_tag[one.tag], circumstances) if one.want is not None else ())
            ),
        ]
        found += [Finding(one.tag, one.id, text, lost, twice) for text, lost, twice in texts]
    known = {one.tag for one in asked}
    found += [
        Finding(tag, some[0].id, "nobody asked for it") for tag, some in records.items() if tag not in known
    ]
    return found


def _presence(one: Asked, mine: Sequence[JobRecord], lines: Sequence[Line]) -> list[tuple[str, bool, bool]]:
    """Say whether it is there once when it was accepted, and at most once when nobody knows."""
    ids: Collection[str] = {record.id for record in mine} | {line["job"] for line in lines}
    found: list[tuple[str, bool, bool]] = []
    if len(ids) > 1:
        found.append((f"accepted twice: {sorted(ids)}", False, True))
    if one.id is not None and any(record.id != one.id for record in mine):
        found.append((f"answered as {one.id}, and accepted as {sorted(ids)}", False, False))
    if one.duplicate_of is not None and mine:
        found.append(("refused as a duplicate, and there all the same", False, True))
    if one.removed and mine:
        found.append(("removed, and there all the same", False, False))
    if one.id is not None and not (one.removed or one.emptied or mine):
        found.append(("lost: accepted, and the carrier does not know it", True, False))
    found += [(f"lost: still {record.state}", True, False) for record in mine if not record.state.terminal]
    return found


def _faults(one: Asked, record: JobRecord, lines: Sequence[Line], harms: int, held: int) -> list[str]:
    want = one.want
    if want is None or not record.state.terminal:
        return []
    starts = sum(line["what"] == "start" for line in lines)
    ends = [line for line in lines if line["what"] == "end"]
    errors = decode_history(record.history)
    names = [error.type.rpartition(".")[2] for error in errors]
    poisoned = POISON in names
    # A suspect runs alone: there its death is an attempt of its own.
    charged = record.crashes + names.count(_DIED) + poisoned
    if "JobTimeoutError" in want.errors:
        harms += held  # who is late behind something that holds the GIL may be taken for what holds it
    checks = {
        f"attempt {record.attempt}, crashes {record.crashes}, epoch {record.epoch}": (
            0 <= record.crashes <= record.attempt <= record.epoch
        ),
        f"handler started {starts} times under {record.epoch} leases": starts <= record.epoch,
        "innocent, and condemned as PoisonJob": not poisoned or want.harms,
        f"PoisonJob after {charged} deaths": not poisoned or charged >= MAX_CRASHES,
        f"{record.crashes} crashes, and {harms} faults that could cost one": record.crashes <= harms,
    }
    if want.harms:
        deaths = sum(line["what"] == "dies" for line in lines)
        checks[f"it ended its process {deaths} times, and was charged {charged}"] = (
            charged >= deaths or record.state is JobState.FAILED
        )
    if poisoned or (want.harms and _DIED in names):
        return [text for text, holds in checks.items() if not holds]
    checks |= {
        f"{record.state}, not {want.state}; errors {names}, reason {record.reason!r}": (
            record.state is want.state
        ),
        f"its handler was{'' if want.runs else ' not'} to be called, and was called {starts} times": (
            (starts > 0) is want.runs or (want.runs and record.state is JobState.CANCELLED)
        ),
        f"errors {names}, the last not of {sorted(want.errors)}": (
            not want.errors or (bool(names) and names[-1] in want.errors)
        ),
        f"{len(names)} errors, not {want.failures}": want.harms or len(names) == want.failures,
        f"reason {record.reason!r}, not {want.reason!r}": (
            want.reason is None or record.reason == want.reason
        ),
        f"attempts without crashes {record.attempt - record.crashes}, not {want.attempts}": (
            want.attempts is None or record.attempt - record.crashes == want.attempts
        ),
    }
    if record.state is JobState.SUCCEEDED:
        checks |= _success(one, record, ends)
    return [text for text, holds in checks.items() if not holds]


def _success(one: Asked, record: JobRecord, ends: Sequence[Line]) -> dict[str, bool]:
    result = decode_result(record.result)
    told = {line["epoch"] for line in ends}
    return {
        "succeeded, and its handler never ended": bool(ends),
        f"result {result!r} is of another job": isinstance(result, dict) and result.get("tag") == one.tag,
        # A run that lost its lease must not be the one that counts.
        f"result {result!r} under epoch {record.epoch}; handlers ended under {told}": (
            not isinstance(result, dict) or result.get("epoch") in {None, record.epoch}
        ),
    }


def hurried(want: Want, lines: Sequence[Line]) -> list[str]:
    """Find attempts that did not wait for their time.

    A failure that was never settled, because its process died or lost its lease with it, is no attempt: the same one is
    begun anew, and at once.
    """
    found: list[str] = []
    raised: Line | None = None
    for line in lines:  # in the order in which they were written
        if line["what"] == "raised":
            raised = line
        elif line["what"] == "start" and raised is not None:
            waited = line["at_ms"] - raised["at_ms"]
            if _attempt(line) > _attempt(raised) and waited < want.pause * 1000 - 50:
                found.append(f"the next attempt came {waited} ms after a failure, not {want.pause:g} s")
            raised = None
    return found


def _attempt(line: Line) -> int:
    return int(line["attempt"]) - int(line["crashes"])


def restarts(lines: Sequence[Line], circumstances: Circumstances) -> list[str]:
    """Find runs that were begun anew though the worker of the one before lived (promise 4)."""
    if not circumstances.timely:
        return []
    found: list[str] = []
    starts = sorted((line for line in lines if line["what"] == "start"), key=lambda line: line["at_ms"])
    for one, following in pairwise(starts):
        closed = any(
            line["what"] in {"raised", "dies"}
            and line["pid"] == one["pid"]
            and one["at_ms"] <= line["at_ms"] <= following["at_ms"]
            for line in lines
        )
        if not closed and one.get("worker") in circumstances.steady:
            found.append(
                f"begun again {following['at_ms'] - one['at_ms']} ms after its start on worker {one['worker']}, which lives"
            )
    return found
