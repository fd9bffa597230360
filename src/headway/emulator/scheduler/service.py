"""The operations of Cloud Scheduler v1, the same for gRPC and REST. ApiError says no, with the API's own codes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from headway.emulator.errors import ApiError, Code, refuse
from headway.emulator.names import check_location
from headway.emulator.paging import page
from headway.emulator.scheduler.definitions import checked, schedule_of, updated
from headway.emulator.scheduler.entries import Entry
from headway.emulator.scheduler.turns import first_turn
from headway.emulator.scheduler.wire import ListJobsResponse

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.emulator.scheduler.dispatch import SchedulerDispatcher
    from headway.emulator.scheduler.entries import Entries
    from headway.emulator.wire import Message

_is_job: Final = re.compile(
    r"(projects/[A-Za-z0-9:.\-]+/locations/[A-Za-z0-9\-]+)/jobs/[A-Za-z0-9_\-]{1,500}"
).fullmatch
_LARGEST_PAGE: Final = 500


class SchedulerService:
    """What a client may ask for. Each change is on the disk before it is answered."""

    def __init__(
        self, entries: Entries, dispatcher: SchedulerDispatcher, clock: Clock, *, pubsub: bool = False
    ) -> None:
        """`pubsub`: whether there is a Pub/Sub emulator to publish to."""
        self._entries = entries
        self._dispatcher = dispatcher
        self._clock = clock
        self._pubsub = pubsub

    async def create_job(self, request: Message) -> Message:
        """Make a job; without a name it gets one. ALREADY_EXISTS when there is one of that name."""
        parent = check_location(request.parent)
        name = request.job.name or f"{parent}/jobs/{uuid4().hex}"
        if _location(name) != parent:
            refuse(f'The job\'s name "{name}" must begin with the parent "{parent}".')
        if self._entries.get(name) is not None:
            msg = f"Job {name} already exists."
            raise ApiError(Code.ALREADY_EXISTS, msg)
        job = checked(request.job, pubsub=self._pubsub)
        job.name = name
        return await self._define(job, None)

    async def get_job(self, request: Message) -> Message:
        """Return a job; NOT_FOUND when there is none."""
        return self._entry(request.name).shown()

    async def list_jobs(self, request: Message) -> Message:
        """Return a page of the jobs of a location, in the order of their names."""
        parent = check_location(request.parent)
        jobs = {
            entry.name: entry for entry in self._entries.all() if entry.name.startswith(f"{parent}/jobs/")
        }
        found, token = page(jobs, request.page_size, request.page_token, _LARGEST_PAGE)
        return ListJobsResponse(jobs=[entry.shown() for entry in found], next_page_token=token)

    async def update_job(self, request: Message) -> Message:
        """Change what the mask names, or without one what the given job has set; its state stays."""
        entry = self._entry(request.job.name)
        changed = updated(entry.definition, request.job, request.update_mask.paths)
        job = checked(changed, pubsub=self._pubsub)
        return await self._define(job, entry)

    async def delete_job(self, request: Message) -> None:
        """Remove a job, also one that is running."""
        name = self._entry(request.name).name
        self._entries.drop(name)
        self._dispatcher.changed(name)
        await self._entries.commit()

    async def pause_job(self, request: Message) -> Message:
        """Run a job no more until it is resumed; FAILED_PRECONDITION when it is not enabled."""
        entry = self._entry(request.name)
        if entry.paused:
            msg = f"Job {entry.name} must be ENABLED to be paused; it is PAUSED."
            raise ApiError(Code.FAILED_PRECONDITION, msg)
        return await self._keep(replace(entry, paused=True))

    async def resume_job(self, request: Message) -> Message:
        """Run a job again, from the next time of its schedule on; FAILED_PRECONDITION when it is not paused."""
        entry = self._entry(request.name)
        if not entry.paused:
            msg = f"Job {entry.name} must be PAUSED to be resumed; it is ENABLED."
            raise ApiError(Code.FAILED_PRECONDITION, msg)
        turn = first_turn(entry.schedule, self._clock.now_ms())
        return await self._keep(replace(entry, paused=False, turn=turn))

    async def run_job(self, request: Message) -> Message:
        """Run a job now, whatever its schedule and state."""
        entry = self._entry(request.name)
        self._dispatcher.run_now(entry)
        return entry.shown()

    async def _define(self, job: Message, before: Entry | None) -> Message:
        now = self._clock.now_ms()
        entry = Entry(job, before.turn if before else first_turn(schedule_of(job), now), now)
        if before is not None:
            entry = replace(
                entry, paused=before.paused, outcome=before.outcome, incarnation=before.incarnation
            )
            if before.schedule != entry.schedule:
                entry = replace(entry, turn=first_turn(entry.schedule, now))
        return await self._keep(entry)

    async def _keep(self, entry: Entry) -> Message:
        self._entries.put(entry)
        await self._entries.commit()
        self._dispatcher.changed(entry.name)
        return entry.shown()

    def _entry(self, name: str) -> Entry:
        _location(name)
        entry = self._entries.get(name)
        if entry is None:
            msg = f"Job {name} not found."
            raise ApiError(Code.NOT_FOUND, msg)
        return entry


def _location(name: str) -> str:
    """Return the location of a job's name; INVALID_ARGUMENT when it is none."""
    found = _is_job(name)
    if found is None:
        refuse(
            f'Job name must be formatted: "projects/PROJECT_ID/locations/LOCATION_ID/jobs/JOB_ID", got "{name}"; '
            "JOB_ID has at most 500 letters, numbers, hyphens or underscores."
        )
    return found[1]
