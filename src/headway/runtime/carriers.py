"""Which carriers of an app a worker, or a receiver, serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Carrier, PushCarrier, Store


def pull_carriers(carriers: Mapping[str, Store], names: Sequence[str] | None = None) -> dict[str, Carrier]:
    """Return those whose jobs workers claim, by name; of `names` alone if given.

    ConfigError when there is none, when a name is unknown, or names a carrier that pushes.
    """
    asked = _asked(carriers, names)
    able = {name: carriers[name].capabilities.pull for name in asked}
    found = {name: carrier for name, carrier in able.items() if carrier is not None}
    _check(found, asked, carriers, named=names is not None, pull=True)
    return found


def push_carriers(
    carriers: Mapping[str, Store], names: Sequence[str] | None = None
) -> dict[str, PushCarrier]:
    """Return those that push their jobs, by name; of `names` alone if given. ConfigError as `pull_carriers`."""
    asked = _asked(carriers, names)
    able = {name: carriers[name].capabilities.push for name in asked}
    found = {name: carrier for name, carrier in able.items() if carrier is not None}
    _check(found, asked, carriers, named=names is not None, pull=False)
    return found


def _asked(carriers: Mapping[str, Store], names: Sequence[str] | None) -> list[str]:
    asked = list(carriers) if names is None else list(dict.fromkeys(names))
    if not asked:
        msg = "carriers: none is named"
        raise ConfigError(msg)
    for name in asked:
        if name not in carriers:
            msg = f"carriers: the app has none of the name {name!r}; it has {', '.join(carriers)}"
            raise ConfigError(msg)
    return asked


def _check(
    found: Mapping[str, object],
    asked: Sequence[str],
    carriers: Mapping[str, Store],
    *,
    named: bool,
    pull: bool,
) -> None:
    for name in asked:
        if name not in found and (named or not found):
            raise ConfigError(_unfit(name, carriers, pull=pull))


def _unfit(name: str, carriers: Mapping[str, Store], *, pull: bool) -> str:
    """Say what serves the carrier of this name instead."""
    kind = carriers[name].capabilities.name
    who = kind if len(carriers) == 1 else f"carrier {name!r} ({kind})"
    only = "" if len(carriers) == 1 else f" --carriers {name}"
    if pull:
        return f"{who} pushes its jobs, no worker can claim them; run `headway push{only}` instead"
    return f"{who} pushes no jobs to a receiver; run `headway worker{only}` instead"
