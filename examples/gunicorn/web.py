"""The web application."""

from typing import Any

from flask import Flask, abort

from headway.errors import JobNotFoundError
from jobs import app, send_welcome

web = Flask(__name__)


@web.post("/users/<int:user>")
def sign_up(user: int) -> tuple[dict[str, Any], int]:
    """Enqueue, and answer with the job's id: do not wait for a result in a view."""
    job = send_welcome.sync.enqueue(user)
    return {"job": job.id}, 202


@web.get("/jobs/<job_id>")
def look(job_id: str) -> dict[str, Any]:
    """Tell how a job stands."""
    try:
        job = app.sync.job(job_id).record()
    except (JobNotFoundError, ValueError):
        abort(404)
    return {"state": job.state, "result": job.result}
