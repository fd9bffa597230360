"""`headway emulator` as it is typed: what it says, how it refuses, how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import EmulatorServer, free_port
from tests.servers.process import wait_until
from tests.servers.server import answers_200

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from headway.cli import main; main()", "emulator"]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}


def refused(*options: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options], env=environment(), capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the first line that it prints."""
    with subprocess.Popen(
        [*COMMAND, *options], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        limit = threading.Timer(50, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()
            limit.cancel()


def get(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return json.load(answer)


def test_it_says_where_it_is_and_ends_in_order() -> None:
    with started("--port", "0", "--json", "--issuer", "https://issuer.example") as (process, line):
        ready = json.loads(line)
        assert ready["event"] == "ready"
        assert ready["pid"] == process.pid
        assert get(ready["certificates"])["keys"]
        discovery = get(f"{ready['http']}/.well-known/openid-configuration")
        assert discovery == discovery | {
            "issuer": "https://issuer.example",
            "jwks_uri": ready["certificates"],
        }
        host, _, port = ready["grpc"].partition(":")
        socket.create_connection((host, int(port)), timeout=20).close()

        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors


def test_its_lines_can_be_evaluated_by_a_shell() -> None:
    with started("--port", "0") as (process, first):
        process.send_signal(signal.SIGINT)
        # Not communicate(): it passes over what the first line's buffer holds already.
        assert process.stdout is not None
        rest = process.stdout.read()
        process.wait(30)
    names = [line.removeprefix("export ").partition("=")[0] for line in rest.splitlines()]
    assert first.startswith("# gRPC 127.0.0.1:")
    assert names == [
        "CLOUD_TASKS_EMULATOR_HOST",
        "CLOUD_SCHEDULER_EMULATOR_HOST",
        "HEADWAY_TOKEN_KEYS",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDSCHEDULER",
    ]
    assert process.returncode == 0


def test_wrong_input_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "duplicates=2" in refused("--faults", "duplicates=2")
    assert "state file" in refused("--state", str(tmp_path / "none" / "state.db"))
    other = tmp_path / "other.db"
    other.write_text("this is no database, and long enough to be looked at as one" * 20)
    assert "other.db" in refused("--state", str(other))


def test_a_port_or_a_state_file_is_used_by_one_alone() -> None:
    with EmulatorServer() as server:
        assert str(server.port) in refused("--port", str(server.port))
        assert str(server.http_port) in refused("--port", "0", "--http-port", str(server.http_port))
        assert "another emulator uses it" in refused("--port", "0", "--state", str(server.state))


def test_faults_meet_the_callers() -> None:
    with EmulatorServer(faults="unavailable=1") as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{server.http_url}/v2/projects/shop/locations/here/queues")
        with caught.value as error:
            assert (error.code, json.load(error)["error"]["status"]) == (503, "UNAVAILABLE")
        server.stop()
        server.start(faults="unavailable=0")
        assert get(f"{server.http_url}/v2/projects/shop/locations/here/queues") == {}


@pytest.mark.parametrize("streams", ["| true", "2>&1 | head -c 1", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_it_serves_and_ends_though_nobody_takes_what_it_says(tmp_path: Path, streams: str) -> None:
    port = free_port()
    command = shlex.join([*COMMAND, "--port", "0", "--http-port", str(port)])
    line = f"{{ {command} & echo $! >pid; wait $!; echo $? >code; }} {streams}"
    shell = subprocess.Popen(["bash", "-c", line], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: answers_200(f"http://127.0.0.1:{port}/oauth2/v3/certs"), "the emulator", timeout=40
        )
        os.kill(int((tmp_path / "pid").read_text(encoding="ascii")), signal.SIGHUP)
        shell.wait(20)
        assert (tmp_path / "code").read_text(encoding="ascii").strip() == "0"
    finally:
        shell.kill()
        shell.wait()
