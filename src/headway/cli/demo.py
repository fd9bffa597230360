"""`headway demo`: see it work, and survive, in under a minute."""

from __future__ import annotations

import click

from headway.cli.options import examples, json_option
from headway.cli.streams import say


@click.command(
    epilog=examples(
        "headway demo",
        "headway demo --processes 4 --seed 7",
        "headway demo --url redis://localhost:6379/0 --json",
        "headway demo --push",
        "headway demo --rollout",
    )
)
@click.option("--url", help="Another carrier than a temporary SQLite file; a namespace of its own is used.")
@click.option(
    "--processes",
    type=click.IntRange(2),
    help="Worker processes; one of them is killed.  [default: 2, or the CPU quota]",
)
@click.option("--limit", type=click.IntRange(1), help="Analyse only so many files.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Decides on the order and on what fails."
)
@click.option("--keep", is_flag=True, help="Keep the SQLite file, to look at it with the other commands.")
@click.option(
    "--push",
    is_flag=True,
    help="Without workers: an emulator of Google Cloud Tasks sends the jobs to two receivers, every fifth one twice.",
)
@click.option(
    "--rollout",
    is_flag=True,
    help="Roll a queue out from SQLite to that emulator while jobs flow; a fault on the way rolls it back once.",
)
@json_option("the account")
def demo(
    *,
    url: str | None,
    processes: int | None,
    limit: int | None,
    seed: int,
    keep: bool,
    push: bool,
    rollout: bool,
    as_json: bool,
) -> int:
    """Analyse every source file of Python's standard library with real workers, and kill one of them.

    Thousands of jobs: parse, count, hash. Some fail at first and are retried, one is delayed, one runs every second.
    Half-way a worker process is killed with SIGKILL. Then the account, drawn up from the store: exit code 1 when a job
    was lost or completed twice.
    """
    if rollout:
        if push or url is not None or processes is not None or limit is not None:
            msg = "--rollout has carriers and jobs of its own: it goes with --seed, --keep and --json alone"
            raise click.UsageError(msg)
        from headway.cli.demo_rollout import demo_rollout

        return demo_rollout(seed=seed, keep=keep, as_json=as_json)
    if push:
        if url is not None or processes is not None:
            msg = "--push has an emulator and receivers of its own: it goes without --url and --processes"
            raise click.UsageError(msg)
        from headway.cli.demo_push import demo_push

        return demo_push(limit=limit, seed=seed, keep=keep, as_json=as_json)
    import logging
    import os

    from headway.cli.demo_output import outcome_fields, print_outcome, watched
    from headway.cli.output import print_json
    from headway.demo.place import place
    from headway.runtime.limits import cpu_quota

    with place(url, keep=keep) as here:
        logging.getLogger("headway").setLevel(os.environ["HEADWAY_LOG_LEVEL"])
        # The app reads its settings when it is imported: only now.
        from headway.demo.run import Plan, run

        plan = Plan(processes or max(2, min(4, cpu_quota())), seed, limit)
        outcome = watched(lambda screen: run(here, plan, screen))
        if as_json:
            print_json(outcome_fields(outcome, seed))
        else:
            print_outcome(outcome)
        if keep and url is None:
            say(f"kept: headway jobs list --url {here.url} --namespace {here.broker.namespace}")
    return 0 if outcome.ledger.sound else 1
