"""A new HTTP job: a request by a form, made now; what is wrong is said beside its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.dashboard.asking import Done, Shown
from headway.dashboard.fields import beside
from headway.dashboard.httpform import KINDS, METHODS, NAMES, HttpForm, form_like, form_of, read
from headway.errors import HeadwayError
from headway.server.services.creating import Options
from headway.server.services.http_jobs import HTTP_TASK, NewHttpJob
from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.dashboard.asking import Asked

OPTIONS: Final = ("delay", "priority", "queue", "key")
MARKED: Final = "Nothing was made yet: look at what is marked."


def form(asked: Asked, given: Mapping[str, Any]) -> str:
    """Return the page; `given` is the request of another job, by which it is filled in."""
    return _page(asked, form_like(given) if given else HttpForm(), {}, "")


async def create(asked: Asked) -> Done | Shown:
    """Enqueue it; the form keeps what was filled in."""
    filled = sent(asked)
    values, wrong = read(filled)
    said = MARKED
    try:
        options = options_of(asked)
        if not wrong:
            wish = NewHttpJob(**values, options=options)
            created = await asked.services.http_jobs.create(asked.caller, wish)
            known = "There is such a job already: this is it."
            return Done(known if created.duplicate else "The job was enqueued.", go=f"/jobs/{created.id}")
    except HeadwayError as error:
        odd = beside(str(error), OPTIONS)
        wrong |= odd
        said = MARKED if odd else str(error)
    return Shown(_page(asked, filled, wrong, said), 422)


def sent(asked: Asked) -> HttpForm:
    """Return the fields of the request as they were sent: a body as it stands, line by line."""
    found = {name: asked.field(name) for name in NAMES}
    return form_of({**found, "body": next(iter(asked.fields("body")), "").replace("\r\n", "\n")})


def shown(wrong: Mapping[str, str], *more: str) -> dict[str, str]:
    """Return what is wrong for a page: of each field, also where it is nothing."""
    return {**dict.fromkeys((*NAMES, *more), ""), **wrong}


def options_of(asked: Asked) -> Options:
    """Return the options of a job as they were filled in; InvalidError."""
    delay, priority = asked.duration_ms("delay"), asked.field("priority")
    if priority and not (priority.isascii() and priority.isdecimal()):
        msg = f"priority: must be a whole number from 0 to 9, got {priority[:20]!r}"
        raise InvalidError(msg)
    return Options(
        delay=None if delay is None else delay / 1000,
        priority=int(priority[:9]) if priority else None,
        key=asked.field("key") or None,
        queue=asked.field("queue") or None,
    )


def _page(asked: Asked, filled: HttpForm, wrong: Mapping[str, str], said: str) -> str:
    return asked.render(
        "new-http",
        "New HTTP job",
        task=asked.services.tasks.get(asked.caller, HTTP_TASK),
        form=filled,
        methods=METHODS,
        kinds=KINDS,
        wrong=shown(wrong, *OPTIONS),
        said=said,
        kept={name: asked.field(name) for name in OPTIONS},
    )
