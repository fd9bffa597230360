"""An app in a folder of its own, and the command line beside it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from headway.brokers.base import QueueWant, Report, Settlement
from headway.cli.root import cli
from headway.cli.target import import_app
from headway.codec import encode_history
from headway.job import AttemptError, Failed, JobId, Succeeded, WorkerId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import LogLine, Progress
    from headway.job import Outcome

SOURCE = """
from datetime import timedelta
from headway import Headway, Retry

app = Headway("shop")

@app.task(name="welcome", queue="email")
async def welcome(user_id: int, *, template: str = "plain") -> str: ...

@app.task(name="report", queue="reports", retry=Retry.never(), tags=["billing", "slow"])
def report(name: str) -> None: ...

@app.every(timedelta(hours=1), name="hourly")
@app.task(name="tidy")
def tidy() -> None: ...
"""


class Shop:
    """Runs `headway ...` with the app in the working directory; `{app}` stands for its path."""

    def __init__(self, module: str) -> None:
        self.app = f"{module}:app"
        self.target = ["--app", self.app]

    def run(self, *args: str, answer: str | None = None, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(cli, list(args), input=answer, env=env, prog_name="headway")

    def ok(self, *args: str, answer: str | None = None) -> str:
        result = self.run(*args, answer=answer)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.ok(*args, "--json"))

    def enqueue(self, *args: str) -> str:
        return self.ok("enqueue", self.app, *args).strip()

    def settle(self, queue: str, outcome: Outcome) -> list[JobId]:
        """Claim what is ready in the queue and settle it so."""

        async def work() -> list[JobId]:
            async with import_app(self.app) as app:
                claimed = await app.pull_carrier.claim(
                    [QueueWant(queue, 100)], worker=WorkerId("w"), limit=100, lease_ms=10_000
                )
                leases = [delivery.lease for delivery in claimed.deliveries]
                await app.pull_carrier.settle([Settlement(lease, outcome) for lease in leases])
                return [lease.job_id for lease in leases]

        return asyncio.run(work())

    def claim(self, queue: str, *reports: Progress | LogLine) -> list[JobId]:
        """Claim what is ready in the queue, as worker w, and have each job report so."""

        async def work() -> list[JobId]:
            async with import_app(self.app) as app:
                claimed = await app.pull_carrier.claim(
                    [QueueWant(queue, 100)], worker=WorkerId("w"), limit=100, lease_ms=60_000
                )
                leases = [delivery.lease for delivery in claimed.deliveries]
                await app.pull_carrier.report(
                    [Report(lease, content) for lease in leases for content in reports]
                )
                return [lease.job_id for lease in leases]

        return asyncio.run(work())

    def succeed(self, queue: str, value: object = None) -> list[JobId]:
        app = import_app(self.app)
        return self.settle(queue, Succeeded(app.codec.encode_result("t", value)))

    def fail(self, queue: str) -> list[JobId]:
        return self.settle(
            queue,
            Failed(
                encode_history(
                    [AttemptError(1, 1_700_000_000_000, "ValueError", "no such user", "Trace\n  back")]
                )
            ),
        )
