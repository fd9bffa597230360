"""Jobs by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from headway.job import JobId, JobState
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.paging import After, Limit, next_link
from headway.server.rest.wire import job_id_of, milliseconds
from headway.server.services.changing import JobChange
from headway.server.services.creating import MOST, BulkCreated, Created, CreateJob
from headway.server.services.job_acts import MOST as MOST_NAMED
from headway.server.services.job_acts import Acted, JobAct
from headway.server.services.job_views import AttemptError, Job, JobPage, LogEntry
from headway.server.services.jobs import JobSearch, Result

_EXAMPLE_JOB = {"task": "welcome", "args": [42], "kwargs": {"template": "pro"}, "options": {"delay": "5m"}}


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs are listed."""

    state: tuple[JobState, ...] = ()
    queue: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    search: Annotated[str, Meta(max_length=500)] | None = None
    after: After | None = None
    limit: Limit = 100


class WaitQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long a call waits: seconds, or a text such as `30s`; at most a minute."""

    timeout: Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)?$")] = "30s"


class ResultQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """As `WaitQuery`; without it the call does not wait."""

    timeout: Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)?$")] = "0"


class Bulk(Struct, frozen=True, forbid_unknown_fields=True):
    """Many jobs to be made."""

    jobs: Annotated[list[Raw], Meta(max_length=MOST)]


class Why(Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done; kept with it."""

    reason: Annotated[str, Meta(max_length=2000)] = ""


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to which jobs."""

    act: JobAct
    ids: Annotated[
        list[Annotated[str, Meta(pattern="^[0-9a-hjkmnp-tv-z]{20}$")]], Meta(max_length=MOST_NAMED)
    ]
    reason: Annotated[str, Meta(max_length=2000)] = ""


class BatchDone(Struct, frozen=True):
    """What became of each, in the order of the ids."""

    done: int
    jobs: list[Acted]


class Logs(Struct, frozen=True):
    """What a handler logged, the oldest line first."""

    lines: list[LogEntry]


class Attempts(Struct, frozen=True):
    """The attempts of a job: how many began, and how those ended that did not succeed, as far as they are kept."""

    attempt: int
    crashes: int
    errors: list[AttemptError]


@operation(body=CreateJob, answer=Created, status=201, example=_EXAMPLE_JOB)
async def create_job(call: Call) -> Reply:
    """Create a job.

    Its arguments are checked as the task declares them. With `Idempotency-Key`, a repeated call finds the first job.
    """
    created = await call.state.services.creating.create(call.caller, call.body, key=idempotency_key(call))
    return Reply(created, headers={"location": f"/v1/jobs/{created.id}"})


@operation(body=Bulk, answer=BulkCreated, example={"jobs": [_EXAMPLE_JOB, {"task": "report"}]})
async def create_jobs(call: Call) -> Reply:
    """Create up to 10,000 jobs; one that is wrong is refused alone, with the reason in its place of the answer."""
    return Reply(
        await call.state.services.creating.create_many(call.caller, call.body.jobs, key=idempotency_key(call))
    )


@operation(query=ListQuery, answer=JobPage)
async def list_jobs(call: Call) -> Reply:
    """List and search jobs, a page at a time; all given conditions hold."""
    asked: ListQuery = call.query
    search = JobSearch(asked.state, asked.queue, asked.task, asked.tag, asked.search)
    page = await call.state.services.jobs.list(call.caller, search, after=asked.after, limit=asked.limit)
    return Reply(page, headers=next_link(call.url, page.cursor))


@operation(answer=Job)
async def get_job(call: Call) -> Reply:
    """Return one job with all that is known of it."""
    return Reply(await call.state.services.jobs.get(call.caller, _id(call)))


@operation(body=JobChange, answer=Job, example={"priority": 9, "due_at": "2030-01-31T09:00:00Z"})
async def change_job(call: Call) -> Reply:
    """Change the priority or the due time of a job that waits. `due_at` null: now."""
    await call.state.services.changing.change(call.caller, _id(call), call.body)
    return Reply(await call.state.services.jobs.get(call.caller, _id(call)))


@operation(body=Why, answer=Acted, body_optional=True, example={"reason": "not needed any more"})
async def cancel_job(call: Call) -> Reply:
    """Cancel a job: at once when it waits; a running one is asked to end."""
    return await _act(call, JobAct.CANCEL)


@operation(body=Why, answer=Acted, body_optional=True)
async def retry_job(call: Call) -> Reply:
    """Give a failed, cancelled or expired job a new life, ready and with fresh attempts."""
    return await _act(call, JobAct.RETRY)


@operation(body=Why, answer=Acted, body_optional=True)
async def promote_job(call: Call) -> Reply:
    """Make a scheduled job ready now."""
    return await _act(call, JobAct.PROMOTE)


@operation(answer=Acted)
async def remove_job(call: Call) -> Reply:
    """Forget a job that does not run, with its result and log."""
    return Reply(await call.state.services.job_acts.one(call.caller, JobAct.REMOVE, _id(call)))


@operation(body=Batch, answer=BatchDone, example={"act": "retry", "ids": ["01k3x7m2q9v5c8b4n6t0"]})
async def act_on_jobs(call: Call) -> Reply:
    """Cancel, retry, promote or remove up to 1,000 jobs by their ids; told for each."""
    given: Batch = call.body
    ids = [JobId(one) for one in given.ids]
    acted = await call.state.services.job_acts.many(call.caller, given.act, ids, given.reason)
    return Reply(BatchDone(sum(1 for one in acted if one.done), acted))


@operation(query=ResultQuery, answer=Result)
async def job_result(call: Call) -> Reply:
    """Return how a job ended: its result, or its error; 409 while it has not ended."""
    timeout_ms = milliseconds(call.query.timeout, "timeout")
    return Reply(await call.state.services.jobs.result(call.caller, _id(call), timeout_ms))


@operation(query=WaitQuery, answer=Job)
async def wait_for_job(call: Call) -> Reply:
    """Wait for a job's end, up to a minute, and return it as it is then; call again while it has not ended."""
    timeout_ms = milliseconds(call.query.timeout, "timeout")
    return Reply(await call.state.services.jobs.wait(call.caller, _id(call), timeout_ms))


@operation(answer=Logs)
async def job_logs(call: Call) -> Reply:
    """Return what the job's handler logged."""
    return Reply(Logs(await call.state.services.jobs.logs(call.caller, _id(call))))


@operation(answer=Attempts)
async def job_attempts(call: Call) -> Reply:
    """Return the attempts of a job."""
    job = await call.state.services.jobs.get(call.caller, _id(call))
    return Reply(Attempts(job.attempt, job.crashes, job.errors))


async def _act(call: Call, act: JobAct) -> Reply:
    reason = call.body.reason if call.body is not None else ""
    return Reply(await call.state.services.job_acts.one(call.caller, act, _id(call), reason))


def _id(call: Call) -> JobId:
    return job_id_of(call.path["job_id"])


def idempotency_key(call: Call) -> str | None:
    """Return the idempotency key of a request's jobs: that of its sender, so that two senders may use one text."""
    given = call.headers.get(b"idempotency-key")
    return None if given is None else f"api:{call.caller.key_id or 'local'}:{given.decode('latin-1')}"
