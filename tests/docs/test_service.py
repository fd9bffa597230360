"""The pages on the server: their commands, their curl and Node samples run; their tables name what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from headway.server.rest.table import ROUTES
from tests.docs.commands import Page, headway
from tests.docs.samples import ROOT
from tests.servers import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE: Final = (ROOT / "docs/reference/rest-api.md").read_text(encoding="utf-8")
NODE: Final = shutil.which("node")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    (folder / "shop.py").write_text(Page("how-to/run-as-a-service.md").blocks("python")[0])
    return folder


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[ApiServer]:
    with ApiServer(
        "shop:app",
        place,
        {
            "HEADWAY_URL": f"sqlite:///{place}/jobs.db",
            "HEADWAY_ACCESS": f"sqlite:///{place}/headway-access.db",
        },
    ) as server:
        yield server


@pytest.fixture(scope="module")
def key(place: Path, served: ApiServer) -> str:
    made: str = json.loads(headway(place, "keys", "create", "--role", "admin", "--name", "docs", "--json"))[
        "key"
    ]
    return made


def test_each_route_stands_in_the_reference_with_its_role_and_summary() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \| (\w+) \| (.+) \|$", REFERENCE, re.MULTILINE)
    assert rows == [
        (
            f"{one.method} {one.path}",
            one.role or "anybody",
            one.operation.summary.partition("\n")[0].rstrip("."),
        )
        for one in ROUTES
    ]


def test_the_commands_about_keys_do_what_the_page_says(place: Path) -> None:
    said = {" ".join(words): headway(place, *words) for _, *words in Page("how-to/api-keys.md").commands()}
    assert said["keys create --app shop:app --role admin --name me"].startswith("hw_")
    assert json.loads(said["keys create --app shop:app --role read --name board --json"])["role"] == "read"
    assert {"me", "ci", "board"} <= {
        line.split()[0] for line in said["keys list --app shop:app"].splitlines()
    }
    assert said["keys rotate ci --grace 1h --app shop:app"].startswith("hw_")
    assert said["keys revoke board --app shop:app"] == "board revoked\n"


def test_the_sample_with_curl_makes_a_job(served: ApiServer, key: str) -> None:
    block = Page("reference/rest-api.md").blocks("sh")[0].replace("http://127.0.0.1:8000", served.url)
    answers = [
        json.loads(
            subprocess.run(
                ["bash", "-c", block],
                env={**os.environ, "HEADWAY_KEY": key},
                capture_output=True,
                check=True,
                timeout=30,
            ).stdout
        )
        for _ in range(2)
    ]
    assert answers[0]["task"] == "welcome"
    assert answers[0] == answers[1], "the same Idempotency-Key"


@pytest.mark.skipif(NODE is None, reason="there is no Node")
def test_the_sample_with_node_makes_a_job(served: ApiServer, key: str, tmp_path: Path) -> None:
    script = tmp_path / "sample.mjs"
    script.write_text(Page("reference/rest-api.md").blocks("js")[0])
    environment = {**os.environ, "HEADWAY_KEY": key, "HEADWAY_URL": served.url}
    said = subprocess.run(
        [str(NODE), str(script)], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert said.split()[1] == "ready"


@pytest.mark.skipif(NODE is None, reason="there is no Node")
def test_the_sample_of_live_events_hears_of_a_job(served: ApiServer, key: str, tmp_path: Path) -> None:
    script = tmp_path / "follow.mjs"
    follow = Page("how-to/live-events.md").blocks("js")[0]
    script.write_text(
        f"{follow}\n"
        "const url = process.env.HEADWAY_URL, key = process.env.HEADWAY_KEY;\n"
        "await follow(url, key, (kind, data) => {\n"
        "  if (kind === 'hello') fetch(`${url}/v1/jobs`, {method: 'POST', body: JSON.stringify({task: 'welcome', args: [1]}),\n"
        "    headers: {authorization: `Bearer ${key}`, 'content-type': 'application/json'}});\n"
        "  if (kind === 'job') console.log(data.kind);\n"
        "  return kind !== 'job';\n"
        "});\nprocess.exit(0);\n"
    )
    environment = {**os.environ, "HEADWAY_KEY": key, "HEADWAY_URL": served.url}
    said = subprocess.run(
        [str(NODE), str(script)], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert said == "enqueued\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--host", "0.0.0.0"], "keys would travel in the clear"),
        (["--host", "0.0.0.0", "--behind-proxy"], "there is no key yet"),
        (["--tls-cert", "shop.py"], "belong together"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else part,
)
def test_a_server_that_would_be_open_does_not_start(tmp_path: Path, words: list[str], why: str) -> None:
    (tmp_path / "shop.py").write_text(Page("how-to/run-as-a-service.md").blocks("python")[0])
    with pytest.raises(AssertionError, match=why):
        headway(tmp_path, "server", "shop:app", "--port", "0", *words)
