"""The commands of docs/how-to/migrate-from-bullmq.md and migrate-from-bull.md run one after the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.docs.commands import Page, carried_by, carriers, headway
from tests.servers import RedisServer
from tests.servers.node_libraries import NodeLibrary, NodeMissingError, installed

if TYPE_CHECKING:
    from pathlib import Path

Job = tuple[str | None, str, dict[str, Any], dict[str, Any]]
JOBS: Final[dict[str, list[Job]]] = {
    "bullmq": [
        ("welcome", "mail", {"userId": 1, "traceId": "x"}, {}),
        ("welcome", "mail", {"userId": 2, "language": "fr"}, {"delay": 3_600_000}),
        ("nightly-sales", "reports", {"year": 2026}, {"priority": 3}),
    ],
    "bull": [
        (None, "images", {"image": "a.png", "width": 80}, {}),
        (None, "images", {"image": "b.png", "width": 90}, {"delay": 3_600_000}),
        (None, "images", {"image": "c.png", "width": 90}, {"priority": 3}),
    ],
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("kind", "library", "carrier"),
    [
        *(("bullmq", "bullmq6", carrier) for carrier in carriers("redis")),
        *(("bull", "bull4", carrier) for carrier in carriers("cloudtasks")),
    ],
)
def test_the_commands_do_what_the_page_says(kind: str, library: str, carrier: str, tmp_path: Path) -> None:
    try:
        installed()
    except NodeMissingError as error:
        pytest.skip(str(error))
    page = Page(f"how-to/migrate-from-{kind}.md")
    (tmp_path / "shop.py").write_text(page.blocks("python")[0], encoding="utf-8")
    (tmp_path / "map.toml").write_text(page.blocks("toml")[0], encoding="utf-8")
    with (
        RedisServer() as server,
        NodeLibrary(library, server.url, "bull") as old,
        carried_by(carrier, server, tmp_path),
    ):
        for name, queue, data, opts in JOBS[kind]:
            old.add(queue, name, data, **opts)
        old.add(JOBS[kind][0][1], "unlike", {})
        said: dict[str, str] = {}
        for _, *words in page.commands():
            typed = [word.replace("redis://localhost:6379/0", server.url) for word in words]
            said[words[1]] = headway(tmp_path, *typed)
        assert "unlike" in said["inspect"]
        assert "map says nothing of 'unlike'" in said["plan"]
        assert said["verify"].endswith("arguments of 3 jobs compared: all is accounted for\n")
        assert (tmp_path / "migration.md").read_text(encoding="utf-8").startswith("# Verification\n")
        assert said["revert"].startswith("3 jobs are back where they were\n")
        rest = ["--from", kind, "--source", server.url, "--map", "map.toml", "--app", "shop:app"]
        planned: dict[str, Any] = json.loads(headway(tmp_path, "migrate", "plan", *rest, "--json"))
        assert (planned["moved"], planned["left"], planned["refused"]) == (3, 1, 0)
