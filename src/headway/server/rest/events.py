"""Live events by HTTP: Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headway.events import EventKind
from headway.server.live.board import Topic
from headway.server.live.hub import MOST_READERS
from headway.server.live.places import read_places
from headway.server.live.stream import Stream, Wanted
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.problem import ProblemError
from headway.server.services.problems import OutOfScopeError
from headway.server.services.shared import check_everything

MEDIA_TYPE = "text/event-stream"
_ID = "^[0-9a-hjkmnp-tv-z]{20}$"


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted; of several queues, kinds or jobs any one fits.

    `after` stands for the header `Last-Event-ID`, which goes before it.
    """

    topic: tuple[Topic, ...] = (Topic.JOBS,)
    queue: tuple[str, ...] = ()
    kind: tuple[EventKind, ...] = ()
    job: Annotated[tuple[Annotated[str, Meta(pattern=_ID)], ...], Meta(max_length=1000)] = ()
    after: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None


@operation(query=EventsQuery, answer=str, media_type=MEDIA_TYPE)
async def stream_events(call: Call) -> Reply:
    """Stream what happens, as Server-Sent Events: of jobs, queues, workers, roll-outs and migrations.

    `Last-Event-ID` goes on behind an event, without a gap and without a duplicate, while the carriers keep what came
    since; else an event `missed` says what may be missing. What is no job is told as it is now, again with each
    change. A comment comes each 15 s at the latest.
    """
    asked: EventsQuery = call.query
    live = call.state.live
    scope = call.caller.scope
    if scope.tasks:
        msg = "this key is for some tasks only, and events do not name the task"
        raise OutOfScopeError(msg)
    topics = frozenset(asked.topic)
    for topic in topics & {Topic.WORKERS, Topic.MIGRATIONS}:
        check_everything(call.caller, str(topic))
    if live.hub.readers >= MOST_READERS:
        msg = "this server has no place for more streams"
        raise ProblemError(503, "too-many-streams", msg, {"retry-after": "5"})
    given = call.headers.get(b"last-event-id")
    text = asked.after if given is None or not given else given.decode("latin-1")
    wanted = Wanted(topics, frozenset(asked.queue), frozenset(asked.kind), frozenset(asked.job), scope)
    stream = Stream(live.hub, live.board, wanted, None if text is None else read_places(text))
    return Reply(stream.chunks(), headers={"x-accel-buffering": "no"}, media_type=MEDIA_TYPE)
