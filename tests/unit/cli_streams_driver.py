"""Run commands one after the other on the streams that this process was started with.

`python -m tests.unit.cli_streams_driver COMMANDS RESULTS ERR`: JSON lists of words in, JSON pairs of exit code and what
was said on stderr out (what was written to the file ERR meanwhile). Each runs in a fork: Python starts once only, and
loads but once what the commands load when they are called.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import headway.brokers.sqlite
import headway.cli
import headway.runtime
from headway.cli import main


def _run(words: list[str]) -> int:
    child = os.fork()
    if child == 0:
        sys.argv = ["headway", *words]
        main()
        os._exit(99)  # not reached: main exits
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _drive(commands: Path, results: Path, err: Path) -> None:
    for package in (headway.cli, headway.brokers.sqlite, headway.runtime):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    gc.freeze()  # else each fork looks through all of it when it ends, and copies it by that
    found: list[tuple[int, str]] = []
    for words in json.loads(commands.read_bytes()):
        before = err.stat().st_size if err.exists() else 0
        code = _run(words)
        said = err.read_bytes()[before:].decode(errors="replace") if err.exists() else ""
        found.append((code, said))
    results.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _drive(*map(Path, sys.argv[1:]))
