"""`examples/gunicorn`: requests to sync and to gevent workers enqueue, also in processes that were forked from one."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.examples.example import Example, WebServer
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn does not run on Windows")
GEVENT = pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")


def look(web: WebServer, job: str) -> dict[str, Any]:
    found: dict[str, Any] = web.ask_json("GET", f"/jobs/{job}")
    return found


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("gunicorn --workers 2 --preload", id="sync"),
        pytest.param("gunicorn --workers 2 --worker-class green.Worker", id="gevent", marks=GEVENT),
    ],
)
def test_each_request_enqueues_and_its_job_runs(tmp_path: Path, start: str) -> None:
    example = Example("gunicorn", tmp_path)
    with WebServer(example, start, bind=True) as web, ThreadPoolExecutor(8) as browsers:
        started = browsers.map(lambda user: web.ask_json("POST", f"/users/{user}", status=202), range(20))
        ids = [answer["job"] for answer in started]
        assert len(set(ids)) == 20
        with example.worker():
            wait_until(lambda: all(look(web, job)["state"] == "succeeded" for job in ids), "all jobs ran")
        assert [look(web, job)["result"] for job in ids] == [f"welcome, user {user}" for user in range(20)]
        assert web.ask("GET", "/jobs/nosuch")[0] == 404


@GEVENT
def test_the_worker_of_gunicorn_itself_is_told_what_to_do(tmp_path: Path) -> None:
    example = Example("gunicorn", tmp_path)
    with WebServer(example, "gunicorn --workers 2 --preload", "--worker-class", "gevent", bind=True) as web:
        assert web.ask("POST", "/users/1")[0] == 500
        wait_until(lambda: "blocking calls need real threads" in web.last_lines(60), "the log says why")
