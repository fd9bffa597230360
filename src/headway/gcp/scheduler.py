"""Cloud Scheduler jobs. They have no labels: ours are marked in their description."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.cloud.scheduler_v1.services.cloud_scheduler import CloudSchedulerAsyncClient
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcAsyncIOTransport
from google.cloud.scheduler_v1.types import (
    CreateJobRequest,
    DeleteJobRequest,
    HttpMethod,
    HttpTarget,
    Job,
    ListJobsRequest,
    OidcToken,
    PauseJobRequest,
    ResumeJobRequest,
    RetryConfig,
    UpdateJobRequest,
)

from headway.brokers.cloudtasks.target import HEADER_SIGNATURE
from headway.gcp.access import SCHEDULER
from headway.gcp.errors import ONCE, ask
from headway.gcp.messages import milliseconds
from headway.gcp.naming import description_of, schedule_of
from headway.gcp.resources import CloudSchedule, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.access import Access
    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

_MASK: Final = (
    "description",
    "schedule",
    "time_zone",
    "http_target",
    "attempt_deadline",
    "retry_config.retry_count",
    "retry_config.min_backoff_duration",
    "retry_config.max_backoff_duration",
)
_HEADERS: Final = {
    name.lower(): name for name in ("Content-Type", HEADER_SIGNATURE)
}  # others are Google's own


class Schedules:
    """Provider of CloudSchedule."""

    def __init__(self, client: Untyped, place: Place, namespace: str) -> None:
        self._client = client
        self._place = place
        self._namespace = namespace

    @classmethod
    async def connect(cls, access: Access, place: Place, namespace: str) -> Schedules:
        """Make the client."""
        transport = CloudSchedulerGrpcAsyncIOTransport(channel=await access.channel(SCHEDULER))
        return cls(CloudSchedulerAsyncClient(transport=transport), place, namespace)

    async def read(self, wanted: Sequence[CloudSchedule]) -> list[Seen]:
        """Return the jobs that bear the app's mark; no other is needed for it."""
        del wanted
        found: list[Seen] = []
        for job in await ask("list the Cloud Scheduler jobs", self._list):
            schedule = schedule_of(self._namespace, job.description)
            if schedule is not None:
                following = job.schedule_time.strftime("next %Y-%m-%d %H:%M UTC") if job.schedule_time else ""
                paused = job.state == Job.State.PAUSED
                found.append(
                    Seen(_resource(job, schedule), paused=paused, detail="" if paused else following)
                )
        return found

    async def create(self, resource: CloudSchedule) -> None:
        """Create."""
        request = CreateJobRequest(parent=self._place.path, job=self._message(resource))
        await ask(f"create schedule {resource.name}", lambda: self._client.create_job(request, **ONCE))

    async def update(self, resource: CloudSchedule) -> None:
        """Change it; one that is paused stays so."""
        request = UpdateJobRequest(job=self._message(resource), update_mask={"paths": _MASK})
        path = self._path(resource.name)
        before = await ask(
            f"look at schedule {resource.name}", lambda: self._client.get_job(name=path, **ONCE)
        )
        after = await ask(
            f"change schedule {resource.name}", lambda: self._client.update_job(request, **ONCE)
        )
        if before.state == Job.State.PAUSED and after.state != Job.State.PAUSED:
            await self.pause(resource.name)

    async def delete(self, resource: CloudSchedule) -> None:
        """Delete."""
        request = DeleteJobRequest(name=self._path(resource.name))
        await ask(f"delete schedule {resource.name}", lambda: self._client.delete_job(request, **ONCE))

    async def pause(self, name: str) -> None:
        """Fire no more."""
        request = PauseJobRequest(name=self._path(name))
        await ask(f"pause schedule {name}", lambda: self._client.pause_job(request, **ONCE))

    async def resume(self, name: str) -> None:
        """Fire again, from the next time on."""
        request = ResumeJobRequest(name=self._path(name))
        await ask(f"resume schedule {name}", lambda: self._client.resume_job(request, **ONCE))

    async def _list(self) -> list[Untyped]:
        request = ListJobsRequest(parent=self._place.path, page_size=500)
        return [job async for job in await self._client.list_jobs(request, **ONCE)]

    def _path(self, name: str) -> str:
        return f"{self._place.path}/jobs/{name}"

    def _message(self, resource: CloudSchedule) -> Job:
        target = HttpTarget(
            uri=resource.url, http_method=HttpMethod.POST, headers=resource.headers, body=resource.body
        )
        if resource.service_account:
            target.oidc_token = OidcToken(
                service_account_email=resource.service_account, audience=resource.audience
            )
        return Job(
            name=self._path(resource.name),
            description=description_of(self._namespace, resource.schedule),
            schedule=resource.cron,
            time_zone=resource.timezone,
            http_target=target,
            attempt_deadline=timedelta(milliseconds=resource.deadline_ms),
            retry_config=RetryConfig(
                retry_count=resource.retries,
                min_backoff_duration=timedelta(milliseconds=resource.min_backoff_ms),
                max_backoff_duration=timedelta(milliseconds=resource.max_backoff_ms),
            ),
        )


def _resource(job: Untyped, schedule: str) -> CloudSchedule:
    target, retry = job.http_target, job.retry_config
    return CloudSchedule(
        name=job.name.rpartition("/")[2],
        schedule=schedule,
        cron=job.schedule,
        timezone=job.time_zone,
        url=target.uri,
        body=target.body,
        headers={
            _HEADERS[name.lower()]: value
            for name, value in target.headers.items()
            if name.lower() in _HEADERS
        },
        service_account=target.oidc_token.service_account_email,
        audience=target.oidc_token.audience,
        deadline_ms=milliseconds(job.attempt_deadline),
        retries=retry.retry_count,
        min_backoff_ms=milliseconds(retry.min_backoff_duration),
        max_backoff_ms=milliseconds(retry.max_backoff_duration),
    )
