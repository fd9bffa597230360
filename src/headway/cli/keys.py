"""`headway keys`: make, list, rotate and revoke the API keys of an app."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headway.cli.failures import CommandFailed
from headway.cli.given_app import takes_app_option
from headway.cli.options import DURATION, INSTANT, NAMES, examples, json_option
from headway.cli.streams import emit, say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from headway.server.access.caller import Caller
    from headway.server.services.key_acts import Key, KeyActs, MadeKey

T = TypeVar("T")


@click.group(
    epilog=examples(
        "headway keys create --app shop.jobs:app --role operate --name ci",
        "headway keys list --app shop.jobs:app",
    )
)
def keys() -> None:
    """Make, list, rotate and revoke the API keys of an app's server."""


@keys.command(
    epilog=examples(
        "headway keys create --app shop.jobs:app --role operate --name ci",
        "headway keys create --app shop.jobs:app --role read --name board --queues email,reports",
        "headway keys create --app shop.jobs:app --role operate --name ci --expires 2030-01-31T09:00Z --json",
    )
)
@click.option("--name", required=True, help="What it is called, in lists and in the audit log.")
@click.option(
    "--role",
    type=click.Choice(["read", "operate", "admin"]),
    required=True,
    help="read: look; operate: also enqueue, cancel, retry, pause; admin: also routes, keys, the audit log.",
)
@click.option("--queues", type=NAMES, help="For these queues only.")
@click.option("--tasks", type=NAMES, help="For these tasks only.")
@click.option("--expires", type=INSTANT, help="When it ends.")
@click.option("--rate", type=click.IntRange(0), default=0, help="Requests a minute.  [default: the server's]")
@json_option("the key")
@takes_app_option
def create(
    app: str,
    *,
    name: str,
    role: str,
    queues: list[str] | None,
    tasks: list[str] | None,
    expires: datetime | None,
    rate: int,
    as_json: bool,
) -> None:
    """Make a key and print it: this once, for only a hash of it is kept."""

    async def work(acts: KeyActs, caller: Caller) -> MadeKey:
        from headway.server.access.caller import Role
        from headway.server.services.key_acts import NewKey

        wish = NewKey(name, Role(role), tuple(queues or ()), tuple(tasks or ()), expires, rate)
        return await acts.create(caller, wish)

    _print_made(_with_keys(app, work), as_json=as_json)


@keys.command("list", epilog=examples("headway keys list --app shop.jobs:app --json"))
@json_option("the keys")
@takes_app_option
def list_keys(app: str, *, as_json: bool) -> None:
    """List all keys, also those that are revoked or expired, without their secrets."""
    from headway.cli.output import Column, print_json, print_table

    found = _with_keys(app, lambda acts, caller: acts.list(caller))
    if as_json:
        print_json({"keys": [_fields(one) for one in found]})
        return
    print_table(
        [
            Column("name"),
            Column("key", whole=True),
            Column("role"),
            Column("for", optional=True),
            Column("last used"),
            Column("ends", optional=True),
        ],
        [
            [
                one.name,
                f"hw_{one.prefix}_...",
                one.role,
                ", ".join([*one.queues, *one.tasks]),
                _at(one.last_used_at) or "never",
                "revoked" if one.revoked_at is not None else _at(one.expires_at),
            ]
            for one in found
        ],
        empty="no keys: headway keys create makes one",
    )


@keys.command(
    epilog=examples(
        "headway keys rotate ci --app shop.jobs:app",
        "headway keys rotate ci --grace 1h --app shop.jobs:app --json",
    )
)
@click.argument("name", metavar="KEY")
@click.option(
    "--grace", type=DURATION, default="24h", show_default=True, help="How long the present key is still good."
)
@json_option("the key")
@takes_app_option
def rotate(app: str, *, name: str, grace: float, as_json: bool) -> None:
    """Give KEY (its name, id or prefix) a new secret and print it."""
    made = _with_keys(app, lambda acts, caller: acts.rotate(caller, name, grace_ms=round(grace * 1000)))
    _print_made(made, as_json=as_json)


@keys.command(epilog=examples("headway keys revoke ci --app shop.jobs:app"))
@click.argument("name", metavar="KEY")
@json_option("the key")
@takes_app_option
def revoke(app: str, *, name: str, as_json: bool) -> None:
    """End KEY (its name, id or prefix), in all servers within 2 s."""
    from headway.cli.output import print_json

    revoked = _with_keys(app, lambda acts, caller: acts.revoke(caller, name))
    if as_json:
        print_json(_fields(revoked))
    else:
        emit(f"{revoked.name} revoked")


def _with_keys(app: str, work: Callable[[KeyActs, Caller], Awaitable[T]]) -> T:
    """Do something with the keys of an app; its carriers are not asked."""
    import asyncio

    if find_spec("sqlalchemy") is None or find_spec("aiosqlite") is None:
        msg = "keys need more packages: pip install 'headway[server]'"
        raise ConfigError(msg)
    from headway.cli.routes.known import me
    from headway.cli.target import import_app
    from headway.server.access.audit import Audit
    from headway.server.access.caller import Caller, Role
    from headway.server.access.keyring import Keyring
    from headway.server.services.key_acts import KeyActs
    from headway.server.services.problems import InvalidError, NotFoundError
    from headway.server.store.database import Database

    loaded = import_app(app)

    async def run() -> T:
        database = Database(loaded.settings.access, loaded.settings.namespace or loaded.name)
        await database.open()
        try:
            audit = Audit(database, loaded.clock)
            acts = KeyActs(Keyring(database, loaded.clock), audit)
            try:
                return await work(acts, Caller(me(), Role.ADMIN))
            finally:
                await audit.finish()
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except NotFoundError as error:
        raise CommandFailed(str(error)) from error
    except InvalidError as error:
        raise ConfigError(str(error)) from error


def _print_made(made: MadeKey, *, as_json: bool) -> None:
    from headway.cli.output import print_json

    if as_json:
        print_json(_fields(made))
        return
    say(f"headway: key {made.name} ({made.role}); it is shown this once:")
    emit(made.key)


def _fields(key: Key) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(key)
    return fields


def _at(instant: datetime | None) -> str:
    return "" if instant is None else instant.isoformat(timespec="seconds")
