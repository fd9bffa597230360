"""The API against its own document: schemathesis with all its checks, stateful; and a fuzz of what it does not send.

A short run belongs to the suite; HEADWAY_TEST_SCHEMA_EXAMPLES=15 makes about 3,600 test cases, 30 twice as many.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.commands import headway
from tests.servers import ApiServer
from tests.unit.server_scene import Scene, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES: Final = int(os.environ.get("HEADWAY_TEST_SCHEMA_EXAMPLES", "1"))
SEED: Final = int(os.environ.get("HEADWAY_TEST_SEED", "7"))
APP: Final = """
from headway import Headway
from headway.http import call

app = Headway("fuzz", carriers={"east": "sqlite:///FOLDER/east.db", "west": "sqlite:///FOLDER/west.db"},
              access="sqlite:///FOLDER/access.db")
call(app)

@app.task(name="welcome", queue="email", tags=["mail"])
async def welcome(user: int, template: str = "basic") -> str: ...

@app.cron("0 3 * * *", name="nightly", args=("night",))
@app.task(name="report")
async def report(title: str) -> str: ...
"""
# What the schema cannot say, such as which arguments a task takes, is 422.
CONFIG: Final = """
request-timeout = 30
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "413", "422", "503"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "421", "422", "429"]
[[operations]]
include-name = "GET /v1/jobs/{job_id}/wait"
parameters = { "query.timeout" = "50ms" }
[[operations]]
include-name = "GET /v1/jobs/{job_id}/result"
parameters = { "query.timeout" = "50ms" }
"""


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_no_answer_contradicts_the_document(tmp_path: Path) -> None:
    (tmp_path / "fuzz_app.py").write_text(APP.replace("FOLDER", str(tmp_path)))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    made = headway(
        tmp_path, "keys", "create", "--app", "fuzz_app:app", "--role", "admin", "--name", "fuzz", "--json"
    )
    key = json.loads(made)["key"]
    with ApiServer("fuzz_app:app", tmp_path, None, "--no-dashboard") as server:
        # By themselves, and meanwhile: these know of no other keys than those that they make.
        of_keys = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run",
                f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {key}", "--checks", "all", "--max-examples", str(EXAMPLES), "--continue-on-failure",
                "--include-operation-id", "create_key", "--include-operation-id", "revoke_key", "--include-operation-id", "rotate_key",
            ],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        run = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run",
                f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {key}", "--checks", "all", "--max-examples", str(EXAMPLES), "--continue-on-failure",
                # A stream has no end; the others would take away what the run itself needs: they have one of their own.
                "--exclude-path", "/v1/events", "--exclude-operation-id", "create_key",
                "--exclude-operation-id", "revoke_key", "--exclude-operation-id", "rotate_key",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=850, check=False,
        )  # fmt: skip
        keys_said, _ = of_keys.communicate(timeout=300)
        log = server.log.read_text()
    assert "Traceback" not in log, log[-4000:]
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert of_keys.returncode == 0, keys_said[-6000:]
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated is not None
    assert int(generated[1]) > 300


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


ODD: Final = [
    b"", b" ", b"Bearer", b"Bearer ", b"bearer hw_", b"Basic eDp5", b"\xff\xfe", b"hw_" + b"0" * 500, b"Bearer " + b"\xe9" * 40,
    b"..", b"/../..", b"%00", b"%2e%2e%2f", b"null", b"0", b"-1", b"9" * 400, b"{}", b"[]", b'"', b"'", b"<script>", b"\x01", b"a=b; c",
    "日本".encode(), b"localhost", b"localhost:99999", b"[::1", b"[::1]:x", b"127.0.0.1:8000:1", b"evil@localhost", b"LOCALHOST.",
]  # fmt: skip
PATHS: Final = [
    "/v1/jobs", "/v1/jobs/{}", "/v1/jobs/{}/cancel", "/v1/queues/{}", "/v1/queues/{}/pause", "/v1/schedules/{}", "/v1/tasks/{}",
    "/v1/keys/{}", "/v1/acts/{}", "/v1/failures/{}", "/v1/rollouts/{}", "/v1/migrations/{}", "/v1/audit", "/v1/figures", "/v1/http-jobs", "/v1/records", "/{}",
]  # fmt: skip


async def test_nothing_that_is_sent_makes_the_server_fail(scene: Scene) -> None:
    await scene.key("admin", name="boss")
    key = await scene.key("admin", name="fuzz")
    client = scene.client()
    generator = random.Random(SEED)
    for _ in range(600):
        path = generator.choice(PATHS).format(
            "".join(f"%{byte:02x}" for byte in generator.choice(ODD))[:300] or "x"
        )
        headers = [
            (b"host", generator.choice([b"localhost", *ODD])),
            (b"authorization", f"Bearer {key}".encode()),
        ]
        if generator.random() < 0.3:
            headers[1] = (b"authorization", generator.choice(ODD))
        names = (
            b"cookie",
            b"content-type",
            b"idempotency-key",
            b"last-event-id",
            b"origin",
            b"content-length",
            b"x-forwarded-for",
        )
        headers += [(name, generator.choice(ODD)) for name in names if generator.random() < 0.3]
        if generator.random() < 0.5:
            headers.append((b"content-type", b"application/json"))
        body = generator.choice(
            [
                *ODD,
                b'{"task": "welcome", "args": [1]}',
                b"[" * 5000,
                b'{"a": ' * 5000,
                b"1e999",
                b'{"task": "\\ud800"}',
            ]
        )
        query = generator.choice(ODD).decode("latin-1")
        method = generator.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"])
        request = client.build_request(method, path, params={"state": query, "limit": query}, content=body)
        request.headers = type(request.headers)(headers)
        answer = await client.send(request)
        assert answer.status_code < 500, (method, path, headers, body[:60], answer.text)
