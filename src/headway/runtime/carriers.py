"""Which carriers of an app a worker, or a receiver, serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Carrier, PushCarrier, Store


def pull_carriers(carriers: Mapping[str, Store], names: Sequence[str] | None = None) -> dict[str, Carrier]:
    """Return those whose jobs workers claim, by name; of `names` alone if given. ConfigError as `chosen`."""
    able = {name: one.capabilities.pull for name, one in carriers.items()}
    served = chosen(pulls(carriers), names, pull=True)
    return {name: carrier for name, carrier in able.items() if name in served and carrier is not None}


def push_carriers(
    carriers: Mapping[str, Store], names: Sequence[str] | None = None
) -> dict[str, PushCarrier]:
    """Return those that push their jobs, by name; of `names` alone if given. ConfigError as `chosen`."""
    able = {name: one.capabilities.push for name, one in carriers.items()}
    served = chosen(pulls(carriers), names, pull=False)
    return {name: carrier for name, carrier in able.items() if name in served and carrier is not None}


def pulls(carriers: Mapping[str, Store]) -> dict[str, bool]:
    """Tell by the name of each carrier whether workers claim its jobs; false: it pushes them."""
    return {name: one.capabilities.pull is not None for name, one in carriers.items()}


def chosen(pull_by_name: Mapping[str, bool], names: Sequence[str] | None, *, pull: bool) -> list[str]:
    """Return the names of the carriers that workers serve (or receivers, with `pull` false), in the app's order.

    `pull_by_name` has all carriers of the app, as `pulls` returns them. ConfigError when there is none to serve, when a
    name is unknown, or names one that is served by the others.
    """
    if names is not None:
        if not names:
            msg = "carriers: none is named"
            raise ConfigError(msg)
        for name in names:
            if name not in pull_by_name:
                msg = f"carriers: the app has none of the name {name!r}; it has {', '.join(pull_by_name)}"
                raise ConfigError(msg)
    asked = list(pull_by_name) if names is None else [name for name in pull_by_name if name in names]
    served = [name for name in asked if pull_by_name[name] == pull]
    for name in asked:
        if name not in served and (names is not None or not served):
            raise ConfigError(_unfit(name, pull=pull, alone=len(pull_by_name) == 1))
    return served


def _unfit(name: str, *, pull: bool, alone: bool) -> str:
    """Say what serves the carrier of this name instead."""
    who = "the app's carrier" if alone else f"carrier {name!r}"
    only = "" if alone else f" --carriers {name}"
    if pull:
        return f"{who} pushes its jobs, no worker can claim them; run `headway push{only}` instead"
    return f"{who} pushes no jobs to a receiver; run `headway worker{only}` instead"
