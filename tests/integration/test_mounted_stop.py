"""An application with the dashboard within it, under a real uvicorn: open pages do not keep it from stopping."""

from __future__ import annotations

import os
import signal
import sys
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.servers.process import HOST, ServerProcess, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import pathlib
from fastapi import FastAPI
from headway import Headway
from headway.dashboard import mount

HERE = pathlib.Path(__file__).parent
jobs = Headway("shop", url=f"sqlite:///{HERE}/jobs.db", access=f"sqlite:///{HERE}/access.db")
site = FastAPI()
mount(site, jobs, "/jobs")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_with_an_open_page_stops_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Of itself uvicorn waits for as long as a page is open: it has no limit unless it is given one."""
    (tmp_path / "site_of_shop.py").write_text(SOURCE, encoding="utf-8")
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "site_of_shop:site", "--port", str(port))
    server = ServerProcess(command, tmp_path / "uvicorn.log")
    server.start()
    page = HTTPConnection(HOST, port, timeout=30)
    try:
        wait_until(lambda: "running on" in server.last_lines(), "uvicorn listens", 60)
        page.request("GET", "/jobs/live", headers={"host": "localhost"})
        answer = page.getresponse()
        assert answer.readline() == b"retry: 2000\n"
        os.kill(server.pid, number)
        assert b"event" not in answer.read().split(b"\n\n")[-1], "the stream ends in order"
        wait_until(lambda: not server.running, "uvicorn has ended", 20)
        assert "Finished server process" in server.last_lines()
    finally:
        page.close()
        server.kill()
