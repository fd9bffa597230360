"""What each call of a migration costs the server of its source: the time that it was on a processor for it.

    python -m bench.source_calls --from arq|bullmq|bull [--jobs N] [--seconds N]

The migration runs in this process, one call after the other, and nobody else asks that server. So what the kernel has
counted for it between a call and its answer is the call's own, on a busy machine too; `bench.migrate` has what a
clock says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bench.figures import percentile
from bench.migrate import EVERY, script_names
from bench.old_queues import fill
from headway import Headway
from headway.migrate.apply import Applier
from headway.migrate.carrying import Carrying
from headway.migrate.deciding import Deciding
from headway.migrate.destination import Destination
from headway.migrate.inspect import inspect
from headway.migrate.mapfile import parse_map
from headway.migrate.opening import SourceOptions, open_source
from headway.migrate.pace import Pace
from headway.migrate.progress import Meter
from headway.migrate.revert import Reverting
from headway.migrate.server import SourceServer
from headway.migrate.verify import Verifying
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.migrate.server import Word

_LIMIT_MS: Final = 5.0


class Clocked:
    """The times of calls, in ms, by what was called."""

    def __init__(self, pid: int) -> None:
        self._spent = Path(f"/proc/{pid}/schedstat")
        self._names = script_names()
        self.times: dict[str, list[float]] = defaultdict(list)

    def begin(self) -> None:
        """Note each call of sources from now on."""
        plain: Any = SourceServer._try  # noqa: SLF001 - the one door of all calls

        one_at_a_time = asyncio.Lock()

        async def clocked(server: SourceServer, *words: Word) -> Any:  # noqa: ANN401 - whatever it answers
            name = str(words[0])
            if name == "EVALSHA":
                name = self._names.get(str(words[1]), name)
            async with one_at_a_time:
                before = self._ns()
                try:
                    return await plain(server, *words)
                finally:
                    self.times[name].append((self._ns() - before) / 1e6)

        cast("Any", SourceServer)._try = clocked  # noqa: SLF001 - as above

    def tell(self, act: str) -> None:
        """Print what was noted, and forget it."""
        total = sum(map(sum, self.times.values()))
        print(f"{act}: {total / 1000:.1f} s in {sum(map(len, self.times.values())):,} calls", flush=True)
        for name, times in sorted(self.times.items(), key=lambda one: -max(one[1])):
            print(
                f"  {name:<20} {len(times):7,} calls  half {percentile(times, 0.5):6.2f} ms  "
                f"99.9 % {percentile(times, 0.999):6.2f} ms  most {max(times):6.2f} ms  "
                f"over 5 ms: {sum(one > _LIMIT_MS for one in times)}"
            )
        self.times.clear()

    def _ns(self) -> int:
        return int(self._spent.read_text(encoding="utf-8").split()[0])


def _app(url: str) -> Headway:
    app = Headway("bench", url=url)

    @app.task(name="work", queue="work")
    async def work(number: int, to: str, subject: str, lines: list[int]) -> None: ...

    return app


async def measure(kind: str, server: RedisServer, target: str, seconds: float) -> None:
    """Run each part of a migration for so long at most."""
    clocked = Clocked(server.pid)
    clocked.begin()
    app = _app(target)
    rule = {"name": "work", "task": "work"} | ({} if kind == "arq" else {"arguments": "fields"})
    source = open_source(kind, server.url, SourceOptions(allow_pickle=True))
    await source.open()
    async with app:
        queues = await source.queues()
        deciding, destination = Deciding(app, parse_map({"job": [rule]})), Destination(app)
        carrying, meter = Carrying(source, destination), Meter(None)
        applier = Applier(source, deciding, destination, carrying, meter=meter, pace=Pace(None))
        acts: dict[str, Awaitable[object]] = {
            "inspect": inspect(source, queues, meter),
            "apply": applier.once(queues),
            "verify": Verifying(source, deciding, destination, meter).verify(queues),
            "revert": Reverting(source, destination, carrying, meter).revert(queues),
        }
        for act, running in acts.items():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running, seconds)
            clocked.tell(act)
    await source.close()


def main() -> None:
    """Fill, run and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="kind", choices=("arq", "bullmq", "bull"), required=True)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=40.0, help="for each part")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        fill(server, given.kind, given.jobs, EVERY)
        asyncio.run(measure(given.kind, server, f"sqlite:///{folder}/jobs.db", given.seconds))


if __name__ == "__main__":
    main()
