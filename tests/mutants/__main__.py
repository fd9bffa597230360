"""Which test notices each mutant: `python -m tests.mutants [NAME ...] [--histories 20]`.

Each is applied to a copy of the source and goes through stages, the cheapest first, until one notices it: files of the
conformance suite, of the fault tests, then histories of the soak. What fails without the mutant too is no notice. Exit
code 1: a mutant was not noticed, or is out of date.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.mutants.all import MUTANTS
from tests.mutants.mutant import Mutant, OutOfDateError, mutated

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT: Final = Path(__file__).resolve().parents[2]
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_SOAK_FAILED: Final = re.compile(r"^FAILED (\S+) seed (\d+).*\nrepeat:.*\n(.*)$", re.MULTILINE)
_LONGEST: Final = 1500.0  # seconds of a stage; one that hangs has noticed something


class Trial:
    """One mutant in a copy of the source."""

    def __init__(self, mutant: Mutant, folder: Path, *, histories: int) -> None:
        """`histories` 0: no soak."""
        self._mutant = mutant
        self._source = folder / "src"
        self._histories = histories

    async def run(self) -> str:
        """Return what noticed it; empty: nothing."""
        changed = mutated(self._mutant, _ROOT)
        shutil.copytree(_ROOT / "src", self._source)
        for path, text in changed.items():
            (self._source / path.relative_to(_ROOT / "src")).write_text(text, encoding="utf-8")
        for folder, files in (("conformance", self._mutant.conformance), ("faults", self._mutant.faults)):
            if files and (noticed := await self._tests([f"tests/{folder}/{file}" for file in files])):
                return noticed
        return await self._soak() if self._histories else ""

    async def _tests(self, files: Sequence[str]) -> str:
        ignored: list[str] = []
        while True:
            words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "120", *files]
            words += [word for test in ignored for word in ("--deselect", test)]
            words += ["-k", self._carrier_of(files[0])]
            code, output = await _python(words, self._source)
            found = _FAILED.search(output)
            if code in {0, 5}:
                return ""
            if found is None:
                return f"pytest, exit code {code}: {output.strip().splitlines()[-1:]}"
            if found[1] in ignored:
                return ""
            code, _ = await _python(["-m", "pytest", "-q", found[1]], _ROOT / "src")
            if not code:
                return found[1]
            ignored.append(found[1])  # it fails anyway

    def _carrier_of(self, file: str) -> str:
        """Say which cases of a file are the carrier's: the fault tests of push are run on one guard."""
        match self._mutant.carrier, file:
            case _, "tests/faults/test_redis.py":
                return "not sentinel"
            case _, "tests/faults/test_carriers.py":  # each case has two
                return "not connections"
            case "cloudtasks", _ if "faults" in file:
                return "not redis and not http and not postgres"
            case "", _:
                return "sqlite"
            case carrier, _:
                return f"{carrier} and not cluster"

    async def _soak(self) -> str:
        carrier = self._mutant.carrier or "sqlite,redis"
        seed = 1
        while seed <= self._histories:
            words = ["-m", "tests.faults.soak", "--first", "--carrier", carrier, "--seed", str(seed)]
            code, output = await _python(
                [*words, "--histories", str(self._histories - seed + 1)], self._source
            )
            if not code:
                return ""
            found = _SOAK_FAILED.search(output)
            if found is None:
                return f"soak, exit code {code}: {output.strip().splitlines()[-1:]}"
            where, number, text = found.groups()
            words = ["-m", "tests.faults.soak", "--carrier", where, "--seed", number, "--histories", "1"]
            code, _ = await _python(words, _ROOT / "src")
            if not code:
                return f"soak {where} seed {number}: {text}"
            seed = int(number) + 1  # that history fails anyway
        return ""


async def _python(words: Sequence[str], source: Path) -> tuple[int, str]:
    """Run Python with the package from `source`; return exit code and output."""
    path = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH", ""))))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""},
    )
    try:
        async with asyncio.timeout(_LONGEST):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"it hangs: {' '.join(words)}"
    return process.returncode or 0, output.decode(errors="replace")


async def _all(chosen: Sequence[Mutant], histories: int, at_once: int) -> int:
    places = asyncio.Semaphore(at_once)
    missed: list[str] = []

    async def one(mutant: Mutant) -> None:
        async with places:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="headway-mutant-") as folder:
                try:
                    noticed = await Trial(mutant, Path(folder), histories=histories).run()
                except OutOfDateError as error:
                    noticed = ""
                    _say(f"OUT OF DATE {error}")
            if not noticed:
                missed.append(mutant.name)
            _say(
                f"{mutant.name} | {mutant.does} | {noticed or 'NOT NOTICED'} | {time.monotonic() - begun:.0f} s"
            )

    _say("mutant | what it does | noticed by | seconds")
    await asyncio.gather(*(one(mutant) for mutant in chosen))
    _say(f"{len(chosen)} mutants, not noticed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these only")
    parser.add_argument("--histories", type=int, default=20, help="of the soak, for what tests do not notice")
    parser.add_argument("--at-once", type=int, default=1, help="mutants side by side")
    given = parser.parse_args()
    unknown = set(given.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not given.names or mutant.name in given.names]
    return asyncio.run(_all(chosen, given.histories, given.at_once))


if __name__ == "__main__":
    sys.exit(main())
