"""What the soak asks of jobs, and what must become of each: drawn at random, judged by `oracle.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from headway.job import JobState
from tests.faults.soak_jobs import NOBODY, PAUSE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from headway.job import JobId

FAR: Final = 20 * 86400  # seconds of delay of what is to wait until an act does something to it
MAX_CRASHES: Final = 5  # the default of the setting
POISON: Final = "PoisonJob"


@dataclass(frozen=True, slots=True)
class Want:
    """How a job must end."""

    state: JobState = JobState.SUCCEEDED
    errors: frozenset[str] = frozenset()  # names of which the class of the last error must have one
    failures: int = 0  # errors in its history, beside those of its own deaths
    reason: str | None = None  # of a cancelled job
    runs: bool = True  # its handler is called; False: it must not be
    harms: bool = False  # its plan ends its worker, so it may end as PoisonJob
    attempts: int | None = None  # attempts that were no crashes
    pause: float = 0.0  # seconds at least from a failure to the next attempt


@dataclass(slots=True)
class Asked:
    """One job that was asked for."""

    tag: str
    task: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    want: Want | None = field(default_factory=Want)  # None: nobody can say
    id: JobId | None = None  # known: accepted
    duplicate_of: JobId | None = None  # refused, because that one was there
    removed: bool = False  # by an act: it must be gone
    emptied: bool = False  # with the server's data: it may be gone


def ended(name: str, failures: int = 1) -> Want:
    """Want the dead-letter state after so many failures."""
    return Want(JobState.FAILED, frozenset({name}), failures, attempts=failures)


def dropped(reason: str, *, runs: bool = True) -> Want:
    """Want it cancelled, for this reason."""
    return Want(JobState.CANCELLED, reason=reason, runs=runs)


_INNOCENT_ERRORS: Final = (
    "ValueError",
    "KeyError",
    "StopAsyncIteration",
    "MemoryError",
    "UnicodeDecodeError",
    "CancelledError",
    "HostileText",
    "HostileNotes",
    "GeneratorExit",
    "SystemExit",
    "KeyboardInterrupt",
    "BaseException",
)


def draw(rng: Random, tag: str, *, lease: float, harm: bool, among: Sequence[str] = ()) -> Asked:  # noqa: C901, PLR0911, PLR0912 - a table of plans
    """Draw a job; with `harm` one that may end its worker."""
    match rng.choice(among or (HARMFUL if harm else MILD)):
        case "succeed":
            return Asked(tag, "soak_succeed", options=_options(rng, tag), want=Want(attempts=1))
        case "slow":
            return Asked(tag, "soak_succeed", (rng.choice((0.05, 0.3)),), want=Want(attempts=1))
        case "thread":
            return Asked(tag, "soak_succeed_in_thread", (0.05,), want=Want(attempts=1))
        case "headers":
            return Asked(tag, "soak_headers", options={"headers": {"tag": tag}}, want=Want(attempts=1))
        case "report":
            return Asked(tag, "soak_report", want=Want(attempts=1))
        case "retry":
            failures = rng.randint(1, 3)
            return Asked(
                tag,
                "soak_retry",
                (failures,),
                want=Want(failures=failures, errors=frozenset({"RuntimeError"}), attempts=failures + 1),
            )
        case "patient":
            return Asked(
                tag,
                "soak_patient",
                (1,),
                want=Want(failures=1, errors=frozenset({"RuntimeError"}), attempts=2, pause=PAUSE),
            )
        case "later":
            return Asked(tag, "soak_later", (rng.randint(1, 3),), want=Want(attempts=1))
        case "discard":
            return Asked(tag, "soak_discard", want=dropped(f"discarded: {tag}"))
        case "dead":
            name = rng.choice(_INNOCENT_ERRORS)
            return Asked(tag, "soak_dead", (name,), want=ended(name))
        case "dead in thread":
            name = rng.choice((*_INNOCENT_ERRORS, "StopIteration"))
            return Asked(tag, "soak_dead_in_thread", (name,), want=ended(name))
        case "dead child":
            name = rng.choice(("ValueError", "HostileText"))
            return Asked(tag, "soak_dead_child", (name,), want=ended("ExceptionGroup"))
        case "twice":
            return Asked(tag, "soak_twice", want=ended("LookupError", 2))
        case "overtime":
            return Asked(tag, "soak_overtime", want=ended("JobTimeoutError"))
        case "long overtime":
            return Asked(tag, "soak_hang", options={"timeout": 5.5}, want=ended("JobTimeoutError"))
        case "worn":
            return Asked(
                tag,
                "soak_worn",
                want=Want(errors=frozenset({"RuntimeError"}), failures=1, harms=True, attempts=2),
            )
        case "expire":
            return Asked(
                tag,
                "soak_nobody",
                options={"expires": 0.2, "queue": NOBODY},
                want=Want(JobState.EXPIRED, runs=False),
            )
        case "block":
            return Asked(tag, "soak_block", (rng.uniform(0.3, 2.0) * min(lease, 2.0),), want=Want(attempts=1))
        case "hold gil":
            return Asked(
                tag, "soak_hold_gil", (rng.uniform(0.3, 2.0) * min(lease, 2.0),), want=Want(attempts=1)
            )
        case "fork":
            return Asked(tag, "soak_fork", want=Want(attempts=1))
        case "pool":
            return Asked(tag, "soak_pool", want=Want(attempts=1))
        case "process":
            return Asked(tag, "soak_in_process", (0.05,), want=Want(attempts=1))
        case "dead process":
            how = rng.choice(("0", "9", "SIGKILL", "SIGSEGV"))
            return Asked(tag, "soak_dead_process", (how,), want=ended("ProcessDiedError"))
        case "overdue":
            # Its worker is ended for it, by us: its own time-out, and no crash.
            return Asked(
                tag, "soak_overdue", want=Want(JobState.FAILED, frozenset({"JobTimeoutError"}), harms=True)
            )
        case "exit in child":
            name = rng.choice(("SystemExit", "KeyboardInterrupt"))
            return Asked(
                tag,
                "soak_dead_child",
                (name,),
                want=Want(JobState.FAILED, frozenset({name, POISON, "BaseExceptionGroup"}), harms=True),
            )
        case "poison":
            return Asked(
                tag,
                "soak_crash",
                (99, rng.choice(_DEATHS)),
                want=Want(JobState.FAILED, frozenset({POISON}), harms=True),
            )
        case _:  # "crash"
            return Asked(
                tag, "soak_crash", (rng.randint(1, 2), rng.choice(_DEATHS)), want=Want(harms=True, attempts=1)
            )


_DEATHS: Final = ("exit 0", "exit 9", "SIGKILL", "SIGSEGV", "SIGABRT")
MILD: Final = (
    *("succeed",) * 8,
    *("slow",) * 4,
    *("thread",) * 2,
    *("retry",) * 3,
    "headers",
    "report",
    "patient",
    "later",
    "discard",
    "dead",
    "dead",
    "dead in thread",
    "dead child",
    "twice",
    "overtime",
    "expire",
    "block",
    "hold gil",
    "process",
    "dead process",
)
PUSHED: Final = (
    *("succeed",) * 4,
    *("slow",) * 4,
    *("retry",) * 2,
    "thread",
    "headers",
    "report",
    "patient",
    "later",
    "discard",
    "dead",
    "dead in thread",
    "twice",
    "overtime",
)
HARMFUL: Final = ("crash", "crash", "crash", "worn", "overdue", "exit in child", "poison", "fork", "pool")


def _options(rng: Random, tag: str) -> dict[str, Any]:
    """Most jobs have none: the usual path."""
    return rng.choice(
        (
            *({},) * 6,
            {"delay": 0.3},
            {"priority": rng.randint(0, 9)},
            {"key": f"key of {tag}"},
            {"expires": FAR},
        )
    )
