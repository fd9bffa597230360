"""`headway demo --rollout`: a queue moves from SQLite to push while its jobs flow; a fault sends it back once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.cli.demo_push import check_packages
from headway.cli.streams import say

if TYPE_CHECKING:
    from headway.demo.rolling import RollingOutcome


def demo_rollout(*, seed: int, keep: bool, as_json: bool) -> int:
    """Run, print, and return the exit code: 1 when a job was lost or completed twice, or a roll-out ended amiss."""
    check_packages("--rollout")
    import logging
    import os

    from headway.cli.demo_output import watched
    from headway.cli.demo_rollout_output import print_rolling
    from headway.cli.output import print_json
    from headway.demo.push_place import push_place

    with push_place(keep=keep, beside=True) as here:
        logging.getLogger("headway").setLevel(os.environ["HEADWAY_LOG_LEVEL"])
        # The app reads its settings when it is imported: only now.
        from headway.demo.rolling import run

        outcome = watched(lambda screen: run(here, seed, screen))
        if as_json:
            print_json(_fields(outcome, seed))
        else:
            print_rolling(outcome)
        if keep:
            say(f"kept: {here.place.folder}")
    return 0 if outcome.sound else 1


def _fields(outcome: RollingOutcome, seed: int) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(outcome)
    return {**fields, "seed": seed, "ok": outcome.sound}
