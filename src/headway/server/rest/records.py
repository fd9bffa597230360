"""The records and HTTP jobs, by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from headway.server.rest.jobs import idempotency_key
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.paging import After, Limit, next_link
from headway.server.rest.wire import job_id_of
from headway.server.services.creating import Created
from headway.server.services.http_jobs import NewHttpJob
from headway.server.services.records import RecordPageView, RecordSearch, TimelineView


class RecordsQuery(RecordSearch, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which records, and which page."""

    after: After | None = None
    limit: Limit = 100
    error: Annotated[str, Meta(max_length=500)] = ""


@operation(query=RecordsQuery, answer=RecordPageView)
async def search_records(call: Call) -> Reply:
    """Search the records: by task, queue, carrier, state, time, tag, header, argument, error; also forgotten jobs."""
    asked: RecordsQuery = call.query
    page = await call.state.services.records.search(call.caller, asked, after=asked.after, limit=asked.limit)
    return Reply(page, headers=next_link(call.url, page.cursor))


@operation(answer=TimelineView)
async def job_timeline(call: Call) -> Reply:
    """Return all that is recorded of a job, across carriers, attempts, moves and retries by hand."""
    job_id = job_id_of(call.path["job_id"])
    return Reply(await call.state.services.records.timeline(call.caller, job_id))


@operation(
    body=NewHttpJob,
    answer=Created,
    status=201,
    example={
        "method": "POST",
        "url": "https://crm.example.com/hooks",
        "json": {"id": 42},
        "options": {"delay": "1m"},
    },
)
async def create_http_job(call: Call) -> Reply:
    """Create a job that is an HTTP call; a worker makes it, within the policy of the app."""
    created = await call.state.services.http_jobs.create(call.caller, call.body, key=idempotency_key(call))
    return Reply(created, headers={"location": f"/v1/jobs/{created.id}"})
