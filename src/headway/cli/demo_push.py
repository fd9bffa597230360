"""`headway demo --push`: the demo's jobs, carried by Cloud Tasks as far as a laptop can tell."""

from __future__ import annotations

from importlib.util import find_spec

from headway.cli.streams import emit, say
from headway.errors import ConfigError


def check_packages(option: str) -> None:
    """ConfigError when what the emulator needs is not installed."""
    if any(find_spec(name) is None for name in ("grpc", "starlette", "httpx", "jwt", "uvicorn")):
        msg = f"headway demo {option} needs more packages: pip install 'headway[emulator]'"
        raise ConfigError(msg)


def demo_push(*, limit: int | None, seed: int, keep: bool, as_json: bool) -> int:
    """Run, print, and return the exit code: 1 when a job was lost or completed twice."""
    check_packages("--push")
    import logging
    import os

    from headway.cli.demo_output import outcome_fields, print_outcome, watched
    from headway.cli.output import print_json
    from headway.demo.push_place import push_place

    with push_place(keep=keep) as here:
        logging.getLogger("headway").setLevel(os.environ["HEADWAY_LOG_LEVEL"])
        # The app reads its settings when it is imported: only now.
        from headway.demo.push import run
        from headway.demo.run import Plan

        outcome = watched(lambda screen: run(here, Plan(2, seed, limit), screen))
        if as_json:
            print_json(outcome_fields(outcome, seed))
        else:
            print_outcome(outcome)
            emit(f"\n{outcome.duplicates} deliveries came twice on purpose.")
        if keep:
            say(f"kept: {here.guard_file} and {here.emulator_file}")
    return 0 if outcome.ledger.sound else 1
