"""All routes of the API. Who may call each is declared here and nowhere else."""

from __future__ import annotations

from typing import Final

from headway.server.access.caller import Role
from headway.server.rest import access, acts, events, figures, jobs, queues, routes, schedules, server
from headway.server.rest.operation import Route

_READ, _OPERATE, _ADMIN, _ANYBODY = Role.READ, Role.OPERATE, Role.ADMIN, None

ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/v1/jobs", _OPERATE, jobs.create_job),
    Route("POST", "/v1/jobs/bulk", _OPERATE, jobs.create_jobs),
    Route("POST", "/v1/jobs/batch", _OPERATE, jobs.act_on_jobs),
    Route("GET", "/v1/jobs", _READ, jobs.list_jobs),
    Route("GET", "/v1/jobs/{job_id}", _READ, jobs.get_job),
    Route("PATCH", "/v1/jobs/{job_id}", _OPERATE, jobs.change_job),
    Route("DELETE", "/v1/jobs/{job_id}", _OPERATE, jobs.remove_job),
    Route("POST", "/v1/jobs/{job_id}/cancel", _OPERATE, jobs.cancel_job),
    Route("POST", "/v1/jobs/{job_id}/retry", _OPERATE, jobs.retry_job),
    Route("POST", "/v1/jobs/{job_id}/promote", _OPERATE, jobs.promote_job),
    Route("GET", "/v1/jobs/{job_id}/result", _READ, jobs.job_result),
    Route("GET", "/v1/jobs/{job_id}/wait", _READ, jobs.wait_for_job),
    Route("GET", "/v1/jobs/{job_id}/logs", _READ, jobs.job_logs),
    Route("GET", "/v1/jobs/{job_id}/attempts", _READ, jobs.job_attempts),
    Route("GET", "/v1/queues", _READ, queues.list_queues),
    Route("GET", "/v1/queues/{queue}", _READ, queues.get_queue),
    Route("POST", "/v1/queues/{queue}/pause", _OPERATE, queues.pause_queue),
    Route("POST", "/v1/queues/{queue}/resume", _OPERATE, queues.resume_queue),
    Route("POST", "/v1/queues/{queue}/drain", _OPERATE, queues.drain_queue),
    Route("POST", "/v1/queues/{queue}/clean", _OPERATE, queues.clean_queue),
    Route("GET", "/v1/workers", _READ, queues.list_workers),
    Route("GET", "/v1/schedules", _READ, schedules.list_schedules),
    Route("GET", "/v1/schedules/{schedule}", _READ, schedules.get_schedule),
    Route("POST", "/v1/schedules/{schedule}/pause", _OPERATE, schedules.pause_schedule),
    Route("POST", "/v1/schedules/{schedule}/resume", _OPERATE, schedules.resume_schedule),
    Route("POST", "/v1/schedules/{schedule}/run", _OPERATE, schedules.run_schedule),
    Route("GET", "/v1/routes", _READ, routes.show_routes),
    Route("GET", "/v1/routes/history", _READ, routes.routes_history),
    Route("POST", "/v1/routes/rollback", _ADMIN, routes.roll_back_routes),
    Route("PUT", "/v1/routes/{queue}", _ADMIN, routes.set_route),
    Route("GET", "/v1/rollouts", _READ, routes.list_rollouts),
    Route("GET", "/v1/rollouts/{queue}", _READ, routes.get_rollout),
    Route("POST", "/v1/rollouts/{queue}", _ADMIN, routes.begin_rollout),
    Route("GET", "/v1/rollouts/{queue}/history", _READ, routes.rollout_history),
    Route("POST", "/v1/rollouts/{queue}/pause", _ADMIN, routes.pause_rollout),
    Route("POST", "/v1/rollouts/{queue}/resume", _ADMIN, routes.resume_rollout),
    Route("POST", "/v1/rollouts/{queue}/promote", _ADMIN, routes.promote_rollout),
    Route("POST", "/v1/rollouts/{queue}/abort", _ADMIN, routes.abort_rollout),
    Route("GET", "/v1/acts", _READ, acts.list_acts),
    Route("POST", "/v1/acts", _OPERATE, acts.create_act),
    Route("GET", "/v1/acts/{act_id}", _READ, acts.get_act),
    Route("POST", "/v1/acts/{act_id}/cancel", _OPERATE, acts.cancel_act),
    Route("GET", "/v1/failures", _READ, figures.list_failures),
    Route("GET", "/v1/failures/{group}", _READ, figures.get_failure),
    Route("GET", "/v1/figures", _READ, figures.read_figures),
    Route("GET", "/v1/events", _READ, events.stream_events),
    Route("GET", "/v1/tasks", _READ, figures.list_tasks),
    Route("GET", "/v1/tasks/{task}", _READ, figures.get_task),
    Route("GET", "/v1/keys", _ADMIN, access.list_keys),
    Route("POST", "/v1/keys", _ADMIN, access.create_key),
    Route("GET", "/v1/keys/{key}", _ADMIN, access.get_key),
    Route("POST", "/v1/keys/{key}/rotate", _ADMIN, access.rotate_key),
    Route("DELETE", "/v1/keys/{key}", _ADMIN, access.revoke_key),
    Route("GET", "/v1/audit", _ADMIN, access.read_audit),
    Route("GET", "/v1/me", _READ, server.whoami),
    Route("GET", "/openapi.json", _READ, server.openapi),
    Route("GET", "/healthz", _ANYBODY, server.healthz),
    Route("GET", "/readyz", _ANYBODY, server.readyz),
)
