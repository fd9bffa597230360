"""How fast jobs of other systems are brought along, what memory that takes, and how long their server is held up.

    python -m bench.migrate --from arq|bullmq|bull [--jobs N] [--to redis|sqlite] [--seconds N]

A Redis is filled as the library fills it. Then `headway migrate inspect`, `plan`, `apply` and `verify` run.
Each is a process: jobs a second from its start to its end, its CPU, its largest memory, the source's CPU, and calls
that took the source a millisecond or more, by SLOWLOG. That is the time of a clock: on a busy machine some of them do
little. `bench.source_calls` tells what they cost. With `--seconds` each command is stopped after so many.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from redis import Redis

import headway
from bench.old_queues import QUEUE, fill
from headway.migrate.scripts import load_script as load_plain
from headway.migrate.sources.bulls.scripts import load_script
from tests.servers import RedisServer
from tests.servers.process import HOST
from tests.servers.resp import Connection

SLOW_US: Final = 1000
LIMIT_US: Final = 5000
EVERY: Final = 10  # so manieth job is delayed
APP: Final = """
import os

from headway import Headway

app = Headway("bench", url=os.environ["BENCH_TARGET"])

@app.task(name="work", queue="work")
async def work(number: int, to: str, subject: str, lines: list[int]) -> None: ...
"""
MAP: Final = '[[job]]\nname = "work"\ntask = "work"\n'
_MAPPED: Final = ("--map", "map.toml")
_HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]


class Ran(NamedTuple):
    """One command: how long, how large, and what it did to the source."""

    seconds: float
    cpu: float  # seconds
    peak_bytes: int
    source_cpu: float  # seconds
    slow: dict[str, list[int]]  # us of each slow call, by what was called
    code: int
    out: str


class Scene:
    """A source that is filled, an app, and a folder."""

    def __init__(self, kind: str, source: RedisServer, target: str, folder: Path) -> None:
        (folder / "bench_shop.py").write_text(APP, encoding="utf-8")
        (folder / "map.toml").write_text(
            MAP + ("" if kind == "arq" else 'arguments = "fields"\n'), encoding="utf-8"
        )
        self._folder = folder
        self._source = source
        self._environment = {**os.environ, "BENCH_TARGET": target, "HEADWAY_APP": "bench_shop:app"}
        self._given = ["--from", kind, "--source", source.url]
        self._given += ["--allow-pickle"] if kind == "arq" else ["--queues", QUEUE]
        self._scripts = script_names()

    def run(self, act: str, *words: str, seconds: float | None = None) -> Ran:
        """Run `headway migrate`; stop it after so many seconds, if they are given."""
        command = [*_HEADWAY, "migrate", act, *self._given, *words, "--json"]
        with Connection(self._source.port, timeout=60) as wire:
            wire.call("SLOWLOG", "RESET")
            source_cpu, cpu = _cpu(wire), _children_cpu()
            began = time.monotonic()
            with (self._folder / f"{act}.json").open("w+") as out:
                process = subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=out)
                peak = 0
                while process.poll() is None:
                    peak = max(peak, _peak(process.pid))
                    if seconds is not None and time.monotonic() - began > seconds:
                        process.send_signal(signal.SIGINT)
                        process.wait()
                    time.sleep(0.02)
                took = time.monotonic() - began
                out.seek(0)
                text = out.read()
            return Ran(
                took,
                _children_cpu() - cpu,
                peak,
                _cpu(wire) - source_cpu,
                self._slow(),
                process.returncode,
                text,
            )

    def _slow(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        with Redis(host=HOST, port=self._source.port) as client:
            entries = cast("Any", client).slowlog_get(-1)
        for entry in entries:
            name, *words = entry["command"].split(b" ", 2)
            called = self._scripts.get(words[0].decode()) if name == b"EVALSHA" else None
            found[called or name.decode()].append(entry["duration"])
        return found


def script_names() -> dict[str, str]:
    """Return the file names of the migrator's scripts by their SHA-1."""
    root = Path(headway.__file__).parent / "migrate"
    names: dict[str, str] = {}
    for path in sorted(root.rglob("lua/*.lua")):
        package = ".".join(("headway", "migrate", *path.parent.parent.relative_to(root).parts))
        load = load_script if "bull" in package else load_plain
        script = load(package, path.stem)
        names[script.sha] = f"{path.stem}.lua"
    return names


def _cpu(wire: Connection) -> float:
    lines = wire.text("INFO", "cpu").splitlines()
    used = dict(line.split(":") for line in lines if ":" in line)
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak(pid: int) -> int:
    """Return the largest memory that a process has had, in bytes; 0 where nobody says."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _told(act: str, ran: Ran, jobs: int, *, cut: bool) -> None:
    rate = "stopped" if cut and ran.code else f"{jobs / ran.seconds:,.0f} jobs/s"
    print(
        f"{act:<8} {ran.seconds:7.1f} s  {rate:>15}  CPU {ran.cpu:6.1f} s  "
        f"peak {ran.peak_bytes / 1e6:5.0f} MB  source's CPU {ran.source_cpu:6.1f} s  exit {ran.code}",
        flush=True,
    )
    for name, times in sorted(ran.slow.items(), key=lambda one: -max(one[1])):
        over = sum(one >= LIMIT_US for one in times)
        print(
            f"         {name:<20} {len(times):6,} calls of 1 ms or more, {over:4,} of 5 ms or more, "
            f"longest {max(times) / 1000:.1f} ms"
        )


def main() -> None:
    """Fill, run and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="kind", choices=("arq", "bullmq", "bull"), required=True)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--to", choices=("redis", "sqlite"), default="redis")
    parser.add_argument("--seconds", type=float, help="for each command")
    given = parser.parse_args()
    slow = {"slowlog-log-slower-than": SLOW_US, "slowlog-max-len": 1_000_000}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = stack.enter_context(RedisServer(options=slow))
        target = f"sqlite:///{folder / 'jobs.db'}"
        if given.to == "redis":
            target = stack.enter_context(RedisServer()).url
        began = time.monotonic()
        fill(source, given.kind, given.jobs, EVERY)
        print(f"{given.jobs:,} jobs of {given.kind} in {time.monotonic() - began:.0f} s, to {given.to}")
        scene = Scene(given.kind, source, target, folder)
        for act, *words in (
            ("inspect",),
            ("plan", *_MAPPED),
            ("apply", *_MAPPED, "--yes"),
            ("verify", *_MAPPED),
        ):
            ran = scene.run(act, *words, seconds=given.seconds)
            _told(act, ran, given.jobs, cut=given.seconds is not None)


if __name__ == "__main__":
    main()
