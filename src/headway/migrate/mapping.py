"""Which of their jobs becomes which of our tasks, and what becomes of arguments, queues and priorities. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, assert_never, cast

from msgspec import Struct

from headway.job import PRIORITY_MAX, PRIORITY_MIN

if TYPE_CHECKING:
    from headway.migrate.found import FoundJob

_LEVELS: Final = 21  # bits of the largest priority of BullMQ


class MappingError(ValueError):
    """A job does not fit its rule; the message says why."""


class Arguments(StrEnum):
    """What a task is called with."""

    CALL = "call"  # positional and keyword arguments as they are there
    FIELDS = "fields"  # the fields of the one document as keyword arguments
    DATA = "data"  # the whole document as one argument


class Ids(StrEnum):
    """What becomes of an id that a user gave to a job there."""

    KEY = "key"  # our idempotency key
    NONE = "none"


class Retries(StrEnum):
    """Whose number of attempts counts for jobs that are brought along."""

    THEIRS = "theirs"  # as many are left as there, if the source or the map says how many
    OURS = "ours"  # those made there are used up, of as many as the task has


class Expiry(StrEnum):
    """What becomes of the instant after which a job is not started there."""

    KEEP = "keep"
    DROP = "drop"


class Mapped(Struct, frozen=True):
    """What a mapping function returns for a job: the task by name, and what it is called with.

    `queue` and `priority` are ours; None leaves them to the rule and the task.
    """

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    queue: str | None = None
    priority: int | None = None


MapFunction = Callable[["FoundJob"], Mapped | None]
"""Returns what a job becomes, None to leave it alone; what it raises refuses the job, by name."""


class Rule(Struct, frozen=True):
    """One `[[job]]` of a map. `name` and `queue` are patterns such as `mail-*`."""

    name: str = "*"
    queue: str = "*"
    task: str = ""  # `{name}` in it is the job's name; empty: such jobs are left
    arguments: Arguments = Arguments.CALL
    rename: Mapping[str, str] = {}  # their names of arguments to ours
    constant: Mapping[str, Any] = {}  # further keyword arguments
    drop: tuple[str, ...] = ()  # their names of arguments that go nowhere
    to_queue: str = ""
    priority: int | None = None
    attempts: int | None = None  # in all, there
    ids: Ids | None = None
    expires: Expiry | None = None
    function: MapFunction | None = None

    def fits(self, job: FoundJob) -> bool:
        """Tell whether the rule is about this job."""
        return fnmatchcase(job.name, self.name) and fnmatchcase(job.queue, self.queue)


class JobMap(Struct, frozen=True):
    """A whole map: the first rule that fits a job decides. `priorities` are pairs (at most, ours), in that order."""

    rules: tuple[Rule, ...] = ()
    queues: Mapping[str, str] = {}
    priorities: tuple[tuple[int, int], ...] = ()
    attempts: int | None = None  # in all, there, where neither the source nor a rule says it
    ids: Ids = Ids.KEY
    expires: Expiry = Expiry.KEEP
    retries: Retries = Retries.THEIRS
    function: MapFunction | None = None  # in place of the rules

    def rule_of(self, job: FoundJob) -> Rule | None:
        """Return the rule that decides on this job; None: it is left."""
        if self.function is not None:
            return Rule(function=self.function)
        return next((rule for rule in self.rules if rule.fits(job)), None)

    def queue_of(self, rule: Rule, job: FoundJob) -> str | None:
        """Return our queue; None: the one of the task."""
        return rule.to_queue or self.queues.get(job.queue)

    def priority_of(self, rule: Rule, job: FoundJob, declared: int) -> int:
        """Return our priority, 0 to 9, 9 first; `declared` is the task's, which has none of its own."""
        if rule.priority is not None:
            return rule.priority
        if self.priorities and (job.priority > 0 or self.priorities[0][0] == 0):
            return next((ours for most, ours in self.priorities if job.priority <= most), declared)
        return default_priority(job.priority, declared)

    def attempts_of(self, rule: Rule, job: FoundJob) -> int | None:
        """Return how many attempts a job has there in all; None: nobody says."""
        return rule.attempts or job.attempts_allowed or self.attempts


def default_priority(theirs: int, declared: int) -> int:
    """Return ours for a priority of theirs: 0 is none and comes first, then 1 to 2^21, the lower first.

    None keeps the task's own; the others lie below it, so coarsely that the last comes to 0. The order of two jobs is
    never turned round: those of one level run in the order in which they arrive, which is that of the source.
    """
    if theirs <= 0:
        return declared
    level = (min(theirs, 1 << _LEVELS) - 1).bit_length()  # 1 is 0, 2^21 is 21
    below = declared - PRIORITY_MIN
    return max(PRIORITY_MIN, declared - 1 - level * max(below - 1, 0) // _LEVELS)


def mapped_by(rule: Rule, job: FoundJob) -> Mapped | None:
    """Return what the rule makes of a job; None: it is left. MappingError says why it does not fit."""
    if rule.function is not None:
        return _by_function(rule.function, job)
    if not rule.task:
        return None
    args, kwargs = _arguments(rule, job)
    return Mapped(rule.task.replace("{name}", job.name), args, kwargs)


def _arguments(rule: Rule, job: FoundJob) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args: tuple[Any, ...] = job.args
    kwargs: dict[str, Any] = dict(job.kwargs)
    match rule.arguments:
        case Arguments.CALL:
            pass
        case Arguments.FIELDS:
            args, kwargs = (), _fields(job)
        case Arguments.DATA:
            args, kwargs = (_document(job),), {}
        case _:
            assert_never(rule.arguments)
    for name in rule.drop:
        kwargs.pop(name, None)
    for theirs, ours in rule.rename.items():
        if theirs in kwargs:
            value = kwargs.pop(theirs)
            if ours in kwargs:
                msg = f"{theirs!r} is renamed to {ours!r}, which it has already"
                raise MappingError(msg)
            kwargs[ours] = value
    return args, kwargs | dict(rule.constant)


def _document(job: FoundJob) -> Any:  # noqa: ANN401 - any plain value
    if len(job.args) != 1 or job.kwargs:
        msg = "it carries no single document; write arguments = 'call'"
        raise MappingError(msg)
    return job.args[0]


def _fields(job: FoundJob) -> dict[str, Any]:
    document = _document(job)
    if not _has_fields(document):
        msg = f"its data is a {type(document).__name__} and has no fields: write arguments = 'data', or a function"
        raise MappingError(msg)
    return dict(document)


def _has_fields(document: object) -> bool:
    return isinstance(document, dict) and all(isinstance(one, str) for one in cast("Any", document))


def _by_function(function: MapFunction, job: FoundJob) -> Mapped | None:
    try:
        found = cast("object", function(job))
    except Exception as error:
        msg = f"the mapping function raised {type(error).__name__}: {error}"
        raise MappingError(msg) from error
    if found is not None and not isinstance(found, Mapped):
        msg = f"the mapping function returned a {type(found).__name__}, not a Mapped or None"
        raise MappingError(msg)
    return found


def checked_priority(value: object, what: str) -> int:
    """Return one of ours; ValueError."""
    if type(value) is not int or not PRIORITY_MIN <= value <= PRIORITY_MAX:
        msg = f"{what} must be a whole number from {PRIORITY_MIN} to {PRIORITY_MAX} (first), got {value!r}"
        raise ValueError(msg)
    return value
