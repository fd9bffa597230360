"""Migrations as their commands would have told them: one at work, one that stopped, one that is verified.

A script of the site: `python migrated.py`, in the folder of its app.
"""

import asyncio

from shop import app  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

from headway.migrate.found import FoundState
from headway.migrate.keeping import change_migration, list_migration
from headway.migrate.status import (
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    MigrationTrouble,
    RepeatingEntry,
    Row,
    Run,
    Verdict,
)

WAITING, DELAYED, FAILED = FoundState.WAITING, FoundState.DELAYED, FoundState.FAILED
MINUTE = 60_000


def at_work(now: int) -> Migration:
    run = Run(
        "r3", Command.APPLY, "amy@ops-1", now - 2 * MINUTE, now + 600 * MINUTE, queues=3, looked_at=41_200, total=98_400,
        rate=1180.0, left_s=48.5, moved=38_911, refused=214,
    )  # fmt: skip
    before = Run("r2", Command.APPLY, "amy@ops-1", now - 9 * MINUTE, now - 5 * MINUTE, moved=2_100)
    return Migration(
        "00000000000000a1", "bullmq", "redis://queues.internal:6379/0", "bull",
        words=("--from", "bullmq", "--map", "map.toml", "--app", "shop.jobs:app"),
        runs=(run, before),
        rows=(
            Row("mails", WAITING, moved=31_002, left=12, refused=0, pending=40_100),
            Row("mails", DELAYED, moved=9_611, refused=214, pending=8_020),
            Row("reports", WAITING, moved=398, left=40, reverted=25),
            Row("thumbnails-of-the-shop-in-zurich", FAILED, left=1_290, pending=9_078),
        ),
        reasons=(
            MigrationReason(
                "mails", DELAYED, refused=True, why="send_mail: missing a required argument: 'to'", count=211,
                examples=(MigrationExample("84213", "newsletter"), MigrationExample("84219", "newsletter"), MigrationExample("90004", "reminder")),
            ),
            MigrationReason("mails", DELAYED, refused=True, why="it is due in 45.2 days, and cloudtasks takes 30 at most: bring it along later",
                            count=3, examples=(MigrationExample("renewal:17", "renewal"),)),
            MigrationReason("thumbnails-of-the-shop-in-zurich", FAILED, refused=False, why="it has failed there, and has no attempts left", count=1_290),
        ),
        repeating=(
            RepeatingEntry("reports", "repeat:4c1f:nightly", "moved", "reports:nightly"),
            RepeatingEntry("mails", "repeat:9a0b:tick", "refused", why="it fires every 500 ms, and schedules do so every second at most"),
        ),
    )  # fmt: skip


def stopped(now: int) -> Migration:
    run = Run(
        "r1",
        Command.FORWARD,
        "ci@runner-7",
        now - 90 * MINUTE,
        now - 40 * MINUTE,
        queues=1,
        looked_at=512,
        moved=480,
    )
    return Migration(
        "00000000000000b2", "arq", "redis://cache.internal:6379/1", "",
        words=("--from", "arq", "--allow-pickle", "--map", "arq.toml", "--app", "shop.jobs:app"),
        runs=(run,),
        rows=(Row("arq:queue", WAITING, moved=480, left=32),),
    )  # fmt: skip


def verified(now: int) -> Migration:
    run = Run(
        "r9",
        Command.VERIFY,
        "bob@laptop",
        now - 26 * 60 * MINUTE,
        now - 25 * 60 * MINUTE,
        now - 25 * 60 * MINUTE,
        queues=2,
    )
    return Migration(
        "00000000000000c3", "bull", "redis://legacy.internal:6379/0", "bull",
        words=("--from", "bull", "--map", "bull.toml", "--app", "shop.jobs:app"),
        runs=(run,),
        rows=(Row("sms", WAITING, moved=12_040), Row("sms", DELAYED, moved=88, refused=2)),
        verdict=Verdict(
            sound=False, at_ms=now - 25 * 60 * MINUTE, who="bob@laptop", compared=11_870, dropped=258,
            troubles=(MigrationTrouble("sms", "5521", "06cqe3k8x7z1v5h2m0r4", "its arguments are not those that were sent"),),
        ),
    )  # fmt: skip


async def main() -> None:
    async with app:
        control = app.carriers["main"].capabilities.control
        now = app.clock.now_ms()
        for one in (verified(now), stopped(now), at_work(now)):
            await change_migration(control, one.id, lambda *_, one=one: one, app.clock)
            await list_migration(control, one.id, now)


asyncio.run(main())
