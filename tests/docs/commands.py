"""The commands of a page, run one after the other in a folder, as the page has them."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headway.routing.following import SETTLING
from tests.docs.samples import ROOT
from tests.docs.test_samples import environment
from tests.servers import EmulatorServer, free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.servers import RedisServer


class Page:
    """A page below docs/."""

    def __init__(self, name: str) -> None:
        self._text = (ROOT / "docs" / name).read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        return re.findall(rf"^```{kind}\n(.*?)^```$", self._text, re.MULTILINE | re.DOTALL)

    def commands(self) -> list[list[str]]:
        lines = [line for block in self.blocks("sh") for line in block.splitlines()]
        return [shlex.split(line) for line in lines if line.startswith("headway ")]


def headway(folder: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", "from headway.cli import main; main()", *words],
        cwd=folder, env=environment() | {"HEADWAY_APP": "shop:app"}, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def carriers(*usual: str) -> tuple[str, ...]:
    """Return the carriers on which a page is run: the usual ones, or with HEADWAY_PAGES_ALL each of them."""
    return ("redis", "cloudtasks") if "HEADWAY_PAGES_ALL" in os.environ else usual


@contextmanager
def carried_by(carrier: str, server: RedisServer, folder: Path) -> Generator[None]:
    """Give the page's app another carrier: the same commands do the same there.

    Of Cloud Tasks the receiver is not up yet, so that no job is run while a page moves it there and back.
    """
    program, settings = folder / "shop.py", folder / "headway.toml"
    program.write_text(re.sub(r', url="[^"]*"', "", program.read_text(encoding="utf-8")), encoding="utf-8")
    if carrier == "redis":
        settings.write_text(f'url = "{server.url.removesuffix("0")}1"\n', encoding="utf-8")
        yield
        return
    with EmulatorServer() as emulator:
        lines = {
            "url": f"cloudtasks://local/here?emulator={emulator.address}",
            "guard": f"sqlite:///{folder}/guard.db",
            "push_secret": "only-here",
            "target": f"http://127.0.0.1:{free_port()}",
        }
        text = "".join(f'{name} = "{value}"\n' for name, value in lines.items())
        settings.write_text(text, encoding="utf-8")
        yield


def settle(file: Path) -> None:
    """Spare the wait: make the last change old enough for the next one."""
    with sqlite3.connect(file) as db:
        db.execute("UPDATE control SET changed_ms = changed_ms - ?", (round(SETTLING * 1000) + 100,))
    db.close()
