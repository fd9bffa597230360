"""`examples/fastapi`: the page's own requests, to a server and a worker that the commands of its README start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.examples.example import Example, WebServer
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_sees_the_progress_of_a_report_and_its_total(tmp_path: Path) -> None:
    example = Example("fastapi", tmp_path)
    with WebServer(example, "uvicorn") as web:
        status, page = web.ask("GET", "/")
        assert status == 200
        assert "/reports/2026" in page
        job = web.ask_json("POST", "/reports/2026", status=202)["job"]
        assert web.ask_json("GET", f"/jobs/{job}") == {
            "state": "ready",
            "progress": 0,
            "message": "",
            "result": None,
        }
        seen: list[dict[str, Any]] = []

        def ended() -> bool:
            seen.append(web.ask_json("GET", f"/jobs/{job}"))
            return bool(seen[-1]["state"] == "succeeded")

        with example.worker():
            wait_until(ended, "the report is made", 30.0)
        shares = [look["progress"] for look in seen]
        assert shares == sorted(shares)
        assert len(set(shares)) > 2, "the page sees more than the beginning and the end"
        assert seen[-1] == {"state": "succeeded", "progress": 1.0, "message": "week 20 of 20", "result": 1900}


def test_a_job_that_nobody_knows_is_not_found(tmp_path: Path) -> None:
    with WebServer(Example("fastapi", tmp_path), "uvicorn") as web:
        web.ask_json("GET", "/jobs/nosuch", status=404)
