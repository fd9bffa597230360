"""`examples/fastapi`: the page's own requests, to a server and a worker that the commands of its README start."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.examples.example import Example, WebServer
from tests.servers.process import HOST, wait_until

if TYPE_CHECKING:
    from pathlib import Path

# What the script of the page finds in a browser, and no more: three elements, a server, a click. Prints what is shown.
BROWSER: Final = """
const [server, script] = process.argv.slice(1), elements = {}, shown = new Set(), ask = fetch;
for (const id of ["bar", "text", "start"]) elements[id] = {};
globalThis.document = { getElementById: (id) => elements[id] };
globalThis.fetch = (path, options) => ask(server + path, options);
(0, eval)(script);
elements.start.onclick();
const looking = setInterval(() => {
  shown.add(elements.bar.value);
  if (elements.start.disabled) return;
  clearInterval(looking);
  console.log(JSON.stringify({ shown: [...shown], text: elements.text.value }));
}, 50);
"""


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


def test_the_script_of_the_page_asks_until_the_report_is_made(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: nothing here runs the script of a page")
    example = Example("fastapi", tmp_path)
    with WebServer(example, "uvicorn") as web, example.worker():
        (script,) = re.findall(r"<script>(.*)</script>", web.ask("GET", "/")[1], re.DOTALL)
        ran = subprocess.run(
            [node, "-e", BROWSER, f"http://{HOST}:{web.port}", script],
            capture_output=True, text=True, timeout=40, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        seen = json.loads(ran.stdout)
        assert seen["text"] == "total: 1900"
        assert seen["shown"][-1] == 1
        assert len(seen["shown"]) > 3, "the bar moves while the job runs"
