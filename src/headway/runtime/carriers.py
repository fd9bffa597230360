"""Which carriers of an app a worker, or a receiver, serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Carrier, PushCarrier, Store


def pull_carriers(carriers: Mapping[str, Store], names: Sequence[str] | None = None) -> dict[str, Carrier]:
    """Return those whose jobs workers claim, by name; of `names` alone if given.

    ConfigError when there is none, when a name is unknown, or names a carrier that pushes.
    """
    return cast("dict[str, Carrier]", _chosen(carriers, names, pull=True))


def push_carriers(
    carriers: Mapping[str, Store], names: Sequence[str] | None = None
) -> dict[str, PushCarrier]:
    """Return those that push their jobs, by name; of `names` alone if given. ConfigError as `pull_carriers`."""
    return cast("dict[str, PushCarrier]", _chosen(carriers, names, pull=False))


def _chosen(carriers: Mapping[str, Store], names: Sequence[str] | None, *, pull: bool) -> dict[str, Store]:
    asked = list(carriers) if names is None else list(dict.fromkeys(names))
    if not asked:
        msg = "carriers: none is named"
        raise ConfigError(msg)
    for name in asked:
        if name not in carriers:
            msg = f"carriers: the app has none of the name {name!r}; it has {', '.join(carriers)}"
            raise ConfigError(msg)
    found = {name: carriers[name] for name in asked if carriers[name].capabilities.pull == pull}
    for name in asked:
        if name not in found and (names is not None or not found):
            raise ConfigError(_unfit(name, carriers, pull=pull))
    return found


def _unfit(name: str, carriers: Mapping[str, Store], *, pull: bool) -> str:
    """Say what serves the carrier of this name instead."""
    kind = carriers[name].capabilities.name
    who = kind if len(carriers) == 1 else f"carrier {name!r} ({kind})"
    only = "" if len(carriers) == 1 else f" --carriers {name}"
    if pull:
        return f"{who} pushes its jobs, no worker can claim them; run `headway push{only}` instead"
    return f"{who} pushes no jobs to a receiver; run `headway worker{only}` instead"
