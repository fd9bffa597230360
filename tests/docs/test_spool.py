"""The commands of docs/how-to/spool.md run one after the other, as the page has them: the server is away at first."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tests.docs.commands import Page, headway
from tests.docs.test_samples import environment
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("how-to/spool.md")


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    with RedisServer(appendonly=True) as server:
        toml = PAGE.blocks("toml")[0].replace("redis://localhost:6379/0", server.url)
        (tmp_path / "headway.toml").write_text(f'breaker_timeout = "500ms"\n{toml}')
        (tmp_path / "shop.py").write_text(PAGE.blocks("python")[0])
        server.kill()
        for user in ("1", "2"):
            headway(tmp_path, "enqueue", "shop:app", "shop.welcome", user)
        said: dict[str, str] = {}
        for _, *words in PAGE.commands():
            if words == ["spool", "flush"]:
                done = subprocess.run(
                    [sys.executable, "-c", "from headway.cli import main; main()", *words, "--app", "shop:app"],
                    cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=50, check=False,
                )  # fmt: skip
                assert (done.returncode, done.stdout) == (
                    1,
                    "0 brought to their carriers, 2 left, 0 set aside\n",
                )
                assert "headway: carrier main does not answer: " in done.stderr
                server.start()
            said[" ".join(words)] = headway(tmp_path, *words)
        assert "2 jobs wait, the oldest for" in said["spool show"]
        assert "main     email     2" in said["spool show"]
        assert said["spool flush"] == "2 brought to their carriers, 0 left, 0 set aside\n"
        assert said["spool resend --yes"] == "0 brought to their carriers, 0 left, 0 set aside\n"
        assert said["spool drop --yes"] == "0 forgotten\n"
        counts = json.loads(headway(tmp_path, "queues", "list", "--json"))["queues"]
        assert [(one["queue"], one["counts"]["ready"]) for one in counts] == [("email", 2)]
        shown = json.loads(headway(tmp_path, "spool", "show", "--json"))
        assert (shown["jobs"], shown["flushed"], shown["spool_limit"]) == (0, 2, 100_000)
        assert json.loads(headway(tmp_path, "stats", "--json"))["spool"]["jobs"] == 0
        assert "spool.db: empty" in headway(tmp_path, "doctor")


def test_a_second_app_on_the_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from headway import Headway\napp = Headway('shop', spool='sqlite:///spool.db')\n"
        "bank = Headway('bank', spool='sqlite:///spool.db')\nnone = Headway('none')\n"
    )
    headway(tmp_path, "queues", "list", "--app", "shop:app")
    for app, words, said in (
        ("bank", ["queues", "list"], "is that of the app 'shop', this is 'bank'"),
        ("bank", ["spool", "show"], "is that of the app 'shop', this is 'bank'"),
        ("none", ["spool", "show"], "the setting spool is empty"),
        ("none", ["spool", "flush"], "the setting spool is empty"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", "from headway.cli import main; main()", *words, "--app", f"shop:{app}"],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
