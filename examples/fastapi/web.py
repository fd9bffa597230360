"""The web application: an endpoint that enqueues, one that tells how far a job is, and the page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

import jobs
from headway.errors import JobNotFoundError


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep the app open as long as the server runs."""
    async with jobs.app:
        yield


web = FastAPI(lifespan=lifespan)


@web.get("/")
async def page() -> FileResponse:
    """Send the page."""
    return FileResponse(Path(__file__).with_name("page.html"))


@web.post("/reports/{year}", status_code=202)
async def start(year: int) -> dict[str, str]:
    """Enqueue a report: the answer comes when the job is stored, not when it is done."""
    job = await jobs.make_report.enqueue(year)
    return {"job": job.id}


@web.get("/jobs/{job_id}")
async def look(job_id: str) -> dict[str, Any]:
    """Tell the state of a job, how far it is, and its result once it has one."""
    try:
        job = await jobs.app.job(job_id).record()
    except (JobNotFoundError, ValueError):
        raise HTTPException(404, "no such job") from None
    return {
        "state": job.state,
        "progress": job.progress or 0.0,
        "message": job.progress_message,
        "result": job.result,
    }
