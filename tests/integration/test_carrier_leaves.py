"""A worker that starts without a carrier of before says so, in one line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headway import Headway
from headway.routing.changing import control_of
from headway.routing.roster import read_roster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
from headway import Headway

app = Headway("shop")

@app.task(name="one")
async def one() -> None: ...
"""


@contextmanager
def _worker(where: Path, waits_for: str) -> Iterator[list[str]]:
    """Run a worker until it has said something, and what it said by its end."""
    said: list[str] = []
    heard = threading.Event()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", "from headway.cli import main; main()", "worker", "shop:app", "--processes", "2"],
        cwd=where, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def listen() -> None:
        for line in process.stderr or ():
            said.append(line)
            if waits_for in line:
                heard.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert heard.wait(30), said
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        listener.join(10)
        if process.stderr is not None:
            process.stderr.close()


def test_a_worker_that_starts_without_a_carrier_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SOURCE)
    settings = '[carriers]\nmain = "sqlite:///main.db"\n'
    (tmp_path / "headway.toml").write_text(f'{settings}side = "sqlite:///side.db"\n')

    async def kept() -> dict[str, str]:
        async with Headway("shop", url=f"sqlite:///{tmp_path}/main.db") as app:
            for _ in range(300):
                roster, _ = await read_roster(control_of(app.carriers))
                if roster.carriers:
                    return roster.carriers
                await asyncio.sleep(0.05)
        return {}

    with _worker(tmp_path, "worker ready"):
        assert asyncio.run(kept()) == {"main": "sqlite:///main.db", "side": "sqlite:///side.db"}
    (tmp_path / "headway.toml").write_text(settings)
    with _worker(tmp_path, "side is not among the settings any more") as said:
        pass
    assert sum("side is not among" in line for line in said) == 1
