"""What an attempt's end means for its task. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from headway.emulator.errors import Code
from headway.emulator.model import Attempt

if TYPE_CHECKING:
    from headway.emulator.model import TaskState
    from headway.emulator.target import HttpAnswer

_CODES: Final = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    429: Code.RESOURCE_EXHAUSTED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
_FAMILIES: Final = {4: Code.FAILED_PRECONDITION, 5: Code.INTERNAL}
_OVERLOADED: Final = frozenset({429, 503})


class Verdict(Struct, frozen=True):
    """An attempt's end: `code` and `message` are what the task's last attempt shows."""

    code: Code
    message: str
    status: int | None = None
    retry_after: str | None = None

    @property
    def success(self) -> bool:
        """The task is done."""
        return self.code is Code.OK

    @property
    def responded(self) -> bool:
        """There was an answer."""
        return self.status is not None

    @property
    def executed(self) -> bool:
        """The handler itself has failed, and not something before it."""
        return self.status is not None and self.status < 500  # noqa: PLR2004 - 5xx

    @property
    def overloaded(self) -> bool:
        """The target asks for less."""
        return self.status in _OVERLOADED


UNREACHABLE: Final = Verdict(Code.UNAVAILABLE, "UNAVAILABLE(14): the connection to the target failed")
DEADLINE: Final = Verdict(
    Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED(4): no answer within the dispatch deadline"
)


def verdict_of(answer: HttpAnswer) -> Verdict:
    """Return what an answer means: any 2xx is success."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - 2xx
        return Verdict(Code.OK, "", status)
    code = _CODES.get(status) or _FAMILIES.get(status // 100, Code.UNKNOWN)
    return Verdict(
        code,
        f"{code.name}({int(code)}): HTTP status code {status}",
        status,
        answer.headers.get("retry-after"),
    )


def begun_state(state: TaskState, now_ms: int) -> TaskState:
    """Return a task's state when an attempt begins."""
    first = state.first_dispatch_ms
    return replace(
        state,
        dispatches=state.dispatches + 1,
        first_dispatch_ms=now_ms if first is None else first,
        last=Attempt(state.schedule_us, now_ms),
    )


def failed_state(state: TaskState, verdict: Verdict, now_ms: int, due_ms: int) -> TaskState:
    """Return a task's state when an attempt has failed and the next one is planned for `due_ms`."""
    last = state.last or Attempt(state.schedule_us, now_ms)
    return replace(
        state,
        schedule_us=due_ms * 1000,
        responses=state.responses + verdict.responded,
        executions=state.executions + verdict.executed,
        last=replace(
            last,
            responded_ms=now_ms,
            status=verdict.status,
            code=int(verdict.code),
            message=verdict.message,
        ),
    )
