"""A server in this process, on an app of a SQLite file, with callers of each role."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime  # noqa: TC003 - an annotation of a task
from typing import TYPE_CHECKING, Any, Final

import httpx
from msgspec import structs

from headway import Context, Headway
from headway.migrate.found import FoundState
from headway.migrate.keeping import change_migration, list_migration
from headway.migrate.status import (
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    RepeatingEntry,
    Row,
    Run,
)
from headway.retry import Retry
from headway.server.access.caller import EVERYTHING, Role, Scope
from headway.server.running import Server, ServerOptions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from headway.brokers.base import Store
    from headway.server.access.keyring import Keyring
    from headway.server.rest.state import ServerState

HOSTILE: Final = '"><script>alert(1)</script><b>\u202e'


def shop(folder: Path, carrier: Store | Mapping[str, Store] | None = None, **settings: Any) -> Headway:
    """An app with a few tasks."""
    app = Headway(
        "shop",
        url=f"sqlite:///{folder}/jobs.db",
        access=f"sqlite:///{folder}/access.db",
        carrier=carrier,
        **settings,
    )

    @app.task(name="welcome", queue="email", tags=["mail"])
    async def welcome(user: int, template: str = "basic") -> str:
        """Welcome somebody."""
        return f"{user} {template}"

    @app.task(name="report")
    async def report(title: str, at: datetime | None = None) -> dict[str, Any]:
        return {"title": title, "at": at}

    @app.task(name="fails", queue="bad", retry=Retry.never())
    async def fails(ctx: Context, code: int) -> None:
        ctx.log("about to fail")
        msg = f"code {code}"
        raise ValueError(msg)

    app.cron("0 3 * * *", name="nightly", args=("night",))(report)
    return app


class Scene:
    """A running server, and clients with keys."""

    def __init__(self, server: Server, state: ServerState) -> None:
        self.server = server
        self.state = state
        self.app = server.app
        self.keyring: Keyring = state.services.keys._keyring
        self._clients: list[httpx.AsyncClient] = []

    async def key(self, role: Role | str, scope: Scope = EVERYTHING, name: str = "test", **more: Any) -> str:
        text, _ = await self.keyring.create(name, Role(role), by="test", scope=scope, **more)
        return text

    def client(
        self, key: str | None = None, *, address: str = "127.0.0.1", **headers: str
    ) -> httpx.AsyncClient:
        """A client that raises what the server lets through."""
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.server, client=(address, 1234)),
            base_url="http://localhost",
            headers=headers,
        )
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def served(app: Headway, **options: Any) -> AsyncGenerator[Scene]:
    server = Server(app, ServerOptions(**{"open_without_keys": True, **options}))
    async with server.running() as state:
        scene = Scene(server, state)
        try:
            yield scene
        finally:
            await scene.close()


async def migrated(app: Headway, **fields: Any) -> Migration:
    """Keep a migration as its commands do; of the names in it, none is harmless."""
    control = app.carrier.capabilities.control
    assert control is not None
    now_ms = app.clock.now_ms()
    run = Run(
        "r1", Command.APPLY, "amy@host", now_ms, now_ms, queues=2, looked_at=9, total=12, rate=3.0, left_s=1.0
    )
    reason = MigrationReason(
        HOSTILE,
        FoundState.WAITING,
        refused=True,
        why=HOSTILE,
        count=2,
        examples=(MigrationExample(HOSTILE, "x"),),
    )
    migration = Migration(
        "00000000000000aa",
        "bullmq",
        "redis://old:6379/0",
        "bull",
        words=("--from", "bullmq", "--map", "map.toml", "--app", "shop:app"),
        rows=(
            Row(HOSTILE, FoundState.WAITING, moved=5, refused=2, pending=3),
            Row("mails", FoundState.DELAYED, moved=2),
        ),
        reasons=(reason,),
        repeating=(RepeatingEntry("mails", HOSTILE, "refused", why="it never fires"),),
    )
    migration = structs.replace(migration, **{"runs": (run,), **fields})
    await change_migration(control, migration.id, lambda *_: migration, app.clock)
    await list_migration(control, migration.id, now_ms)
    return migration
