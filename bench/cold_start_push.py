"""Cold start of a receiver: from the start of `headway push` to its first job done, wall and CPU time.

`python -m bench.cold_start_push [RUNS]`: a new process for each run, its guard a SQLite file, once with an OIDC token
(its keys are fetched from the loopback) and once with a signature. Prints medians and worst cases.
"""

from __future__ import annotations

import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.cloudtasks.auth.hmac import sign_until
from headway.brokers.cloudtasks.message import CONTENT_TYPE, encode
from headway.codec import Codec
from headway.emulator.tokens import Tokens
from headway.guards.document import PushedJob
from headway.job import NewJob, new_job_id

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS: Final = 7
SOURCE: Final = """
from headway import Headway

app = Headway("cold")

@app.task(name="add")
async def add(a: int, b: int) -> int:
    return a + b
"""
TARGET: Final = "https://cold.example/"
ACCOUNT: Final = "tasks@cold.iam.gserviceaccount.com"
SECRET: Final = "of sender and receiver"  # noqa: S105 - of this measurement


class Run(Struct, frozen=True):
    """Seconds since the start of the process."""

    ready: float
    ready_cpu: float
    done: float
    done_cpu: float


@contextmanager
def served_keys(tokens: Tokens) -> Iterator[str]:
    """Serve the public keys of the tokens."""
    body = json.dumps(tokens.certificates()).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def cpu_of(pid: int) -> float:
    """User and system time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cold_start(folder: Path, environment: dict[str, str], headers: dict[str, str], body: bytes) -> Run:
    """Start a receiver, send one job as soon as it listens, end it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    command = [
        sys.executable,
        "-c",
        "from headway.cli import main; main()",
        "push",
        "cold:app",
        "--port",
        "0",
        "--json",
    ]
    begun = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env={**own, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = json.loads(next(iter(process.stdout or ())))["url"]
            ready, ready_cpu = time.perf_counter() - begun, cpu_of(process.pid)
            request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - our own
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=30) as answer:
                state = json.loads(answer.read())["state"]
            if state != "succeeded":
                msg = f"the job ended as {state}"
                raise RuntimeError(msg)
            return Run(ready, ready_cpu, time.perf_counter() - begun, cpu_of(process.pid))
        finally:
            process.kill()


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    tokens = Tokens()
    with tempfile.TemporaryDirectory() as name, served_keys(tokens) as keys:
        folder = Path(name)
        (folder / "cold.py").write_text(SOURCE, encoding="utf-8")
        common = {
            "HEADWAY_URL": "cloudtasks://project/europe-west1",
            "HEADWAY_GUARD": f"sqlite:///{folder}/guard.db",
            "HEADWAY_TARGET": TARGET,
        }
        ways = {
            "OIDC token": {**common, "HEADWAY_SERVICE_ACCOUNT": ACCOUNT, "HEADWAY_TOKEN_KEYS": keys},
            "signature": {**common, "HEADWAY_PUSH_SECRET": SECRET},
        }
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        for number in range(count + 1):  # the first one writes the bytecode
            for way, environment in ways.items():
                job = NewJob(new_job_id(), "add", "default", Codec().encode_call("add", [1, 2], {}))
                body = encode("cold", PushedJob(job, 0))
                headers = {"Content-Type": CONTENT_TYPE}
                if way == "signature":
                    headers["X-Headway-Signature"] = sign_until(SECRET.encode(), body, int(time.time()) + 60)
                else:
                    headers["Authorization"] = f"Bearer {tokens.sign(TARGET, ACCOUNT)}"
                run = cold_start(folder, environment, headers, body)
                if number:
                    runs[way].append(run)
    for way, measured in runs.items():
        print(f"{way}: {len(measured)} cold starts")
        for field, text in (
            ("ready", "listens"),
            ("done", "first job done"),
            ("ready_cpu", "listens, CPU"),
            ("done_cpu", "first job done, CPU"),
        ):
            values = [getattr(run, field) for run in measured]
            print(f"  {text:20} median {statistics.median(values):6.3f} s   worst {max(values):6.3f} s")


if __name__ == "__main__":
    main()
