"""Acts on all jobs that match: counted first, then done page by page, watched, cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from headway.dashboard.asking import Done, states_of
from headway.server.services.acts import ActQuery, NewAct
from headway.server.services.job_acts import JobAct
from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked

SAID: Final = {
    JobAct.CANCEL: "Cancel",
    JobAct.RETRY: "Retry",
    JobAct.PROMOTE: "Run now",
    JobAct.REMOVE: "Remove",
}


async def acts(asked: Asked) -> str:
    """Return the page of the last acts."""
    return asked.render("acts", "Acts", acts=await asked.services.acts.list(asked.caller), said=SAID)


async def act(asked: Asked) -> str:
    """Return the page of one act: what matches, how far it is."""
    found = await asked.services.acts.get(asked.caller, asked.path["act"])
    query = found.query
    matching = urlencode(
        {
            name: value
            for name, value in (
                ("state", [str(one) for one in query.state]),
                ("queue", list(query.queue)),
                ("task", list(query.task)),
                ("tag", list(query.tag)),
                ("search", query.search),
            )
            if value
        },
        doseq=True,
    )
    return asked.render("act", f"{SAID[found.act]} all that match", act=found, said=SAID, matching=matching)


async def begin(asked: Asked) -> Done:
    """Begin one. Unless it is `sure`, the jobs are only counted, and the page that follows asks."""
    try:
        wanted = JobAct(asked.field("act"))
    except ValueError as error:
        msg = f"act: must be one of {', '.join(JobAct)}"
        raise InvalidError(msg) from error
    query = ActQuery(
        state=states_of(asked.fields("state")),
        queue=tuple(filter(None, asked.fields("queue"))),
        task=tuple(filter(None, asked.fields("task"))),
        tag=tuple(filter(None, asked.fields("tag"))),
        search=asked.field("search") or None,
        group=asked.field("group") or None,
    )
    sure = asked.field("sure") == "1"
    begun = await asked.services.acts.create(asked.caller, NewAct(act=wanted, query=query, dry_run=not sure))
    return Done("It has begun." if sure else "The jobs that match are counted.", go=f"/acts/{begun.id}")


async def cancel(asked: Asked) -> Done:
    """End one before its next page."""
    ended = await asked.services.acts.cancel(asked.caller, asked.path["act"])
    return Done(f"It was ended. To {ended.done:,} jobs it was done already.")
