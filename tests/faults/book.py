"""What a history has asked for, and how: each job by its tag, and by one of the ways in which programs enqueue."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from headway.errors import BrokerError
from headway.job import JobId, is_job_id
from tests.faults.group import HEADWAY, ROOT
from tests.faults.plans import Asked, Want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from headway import Headway, JobHandle

WAYS: Final = ("one by one", "gather", "turn by turn", "many", "blocking", "blocking many", "cli")
_CLI_OPTIONS: Final = frozenset({"delay", "priority", "key", "queue"})


class Book:
    """The jobs of one history."""

    def __init__(self, app: Headway, environ: Callable[[], Mapping[str, str]]) -> None:
        """`environ` is what the processes of the history find their app with."""
        self.asked: dict[str, Asked] = {}
        self.refused = 0  # calls that failed
        self.ways: dict[str, int] = dict.fromkeys(WAYS, 0)
        self._app = app
        self._environ = environ
        self._numbers = itertools.count()

    def tag(self) -> str:
        """Make the next tag."""
        return f"t{next(self._numbers)}"

    def note(self, one: Asked) -> Asked:
        """Write down what is about to be asked."""
        self.asked[one.tag] = one
        return one

    def accepted(self) -> list[JobId]:
        """Return the jobs that the carrier must know."""
        return [
            one.id
            for one in self.asked.values()
            if one.id is not None and not one.removed and not one.emptied
        ]

    def forget(self) -> None:
        """The server was emptied: nobody can say what became of what was asked before."""
        for one in self.asked.values():
            one.emptied, one.want = True, None

    async def ask(self, jobs: Sequence[Asked], way: str) -> None:
        """Enqueue them in this way. What fails stays without an id: nobody knows whether it was accepted."""
        for one in jobs:
            self.note(one)
        self.ways[way] += len(jobs)
        match way:
            case "one by one":
                for one in jobs:
                    await self._one(one)
            case "gather":
                await asyncio.gather(*(self._one(one) for one in jobs))
            case "turn by turn":
                await asyncio.gather(*(self._in_turn(number, one) for number, one in enumerate(jobs)))
            case "many":
                await self._all(jobs)
            case "blocking":
                await asyncio.to_thread(self._blocking, jobs)
            case "blocking many":
                await asyncio.to_thread(self._blocking_many, jobs)
            case _:
                for one in jobs:
                    await (self._by_command(one) if one.options.keys() <= _CLI_OPTIONS else self._one(one))

    def hear(self, said: str) -> None:
        """Take down what a producer said: `ask TAG`, and `told TAG ID` behind it."""
        for words in (line.split() for line in said.splitlines()):
            match words:
                case ["ask", tag]:
                    self.note(Asked(tag, "soak_succeed", want=Want(attempts=1)))
                case ["told", tag, job_id] if is_job_id(job_id):
                    self.asked[tag].id = JobId(job_id)
                case _:
                    pass  # it was killed in the middle of the line

    def _call(self, one: Asked) -> Any:
        task = self._app.find_task(one.task)
        return task.options(**one.options) if one.options else task

    def _told(self, one: Asked, handle: Any) -> None:
        if handle.duplicate:
            one.duplicate_of = handle.id
        else:
            one.id = handle.id

    async def _one(self, one: Asked) -> None:
        try:
            self._told(one, await self._call(one).enqueue(one.tag, *one.args))
        except BrokerError:
            self.refused += 1

    async def _in_turn(self, turns: int, one: Asked) -> None:
        """Enqueue it in a later turn of the loop, when others are under way."""
        for _ in range(turns):
            await asyncio.sleep(0)
        await self._one(one)

    async def _all(self, jobs: Sequence[Asked]) -> None:
        made = [self._call(one).job(one.tag, *one.args) for one in jobs]
        try:
            self._pair(jobs, await self._app.enqueue_many(made))
        except BrokerError:
            self.refused += 1

    def _pair(self, jobs: Sequence[Asked], handles: Iterable[JobHandle[Any]]) -> None:
        for one, handle in zip(jobs, handles, strict=True):
            self._told(one, handle)

    def _blocking(self, jobs: Sequence[Asked]) -> None:
        for one in jobs:
            try:
                self._told(one, self._call(one).sync.enqueue(one.tag, *one.args))
            except BrokerError:
                self.refused += 1

    def _blocking_many(self, jobs: Sequence[Asked]) -> None:
        made = [self._call(one).job(one.tag, *one.args) for one in jobs]
        try:
            for one, handle in zip(jobs, self._app.sync.enqueue_many(made), strict=True):
                self._told(one, handle)
        except BrokerError:
            self.refused += 1

    async def _by_command(self, one: Asked) -> None:
        options = [f"--{name}={value}" for name, value in one.options.items()]
        words = ["enqueue", *options, "--json", "tests.faults.app:app", one.task, "--"]
        words += [json.dumps(value) for value in (one.tag, *one.args)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            HEADWAY,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, **self._environ()},
        )
        output, _ = await process.communicate()
        if process.returncode == 0:
            one.id = JobId(json.loads(output)["id"])
        else:
            self.refused += 1

    def choose_way(self, rng: Random) -> str:
        """Draw a way; a command takes long, so it is rare."""
        return rng.choice((*WAYS[:-1] * 5, "cli"))
