"""`examples/django`: a blocking and an asynchronous view enqueue, and the worker's ORM stores what they wait for."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.examples.example import SCRIPTS, Example, WebServer
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_an_order_is_paid_behind_its_commit_and_shipped(tmp_path: Path) -> None:
    example = Example("django", tmp_path)
    made = subprocess.run(
        example.command("python manage.py"), cwd=example.folder, env=example.environment,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with WebServer(example, "uvicorn") as web:
        order = web.ask_json("POST", "/orders/", status=201)["order"]

        def stands_at(state: str) -> bool:
            return bool(web.ask_json("GET", f"/orders/{order}/") == {"state": state})

        assert stands_at("new")
        with example.worker():
            wait_until(lambda: stands_at("paid"), "the order is paid")
            assert web.ask_json("POST", f"/orders/{order}/ship/", status=202)["job"]
            wait_until(lambda: stands_at("shipped"), "the order is shipped")
        listed = subprocess.run(
            [str(SCRIPTS / "headway"), "jobs", "list", "--app", "worker:app"], cwd=example.folder,
            env=example.environment, capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert listed.stdout.count("succeed") == 2, listed  # a narrow table cuts the word
