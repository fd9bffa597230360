"""The controller of an app's roll-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.routing.changing import control_carrier
from headway.routing.controller import Controller
from headway.routing.declared import Declared
from headway.routing.written import parse_routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import FiguresStore, Store
    from headway.clock import Clock
    from headway.config import Settings
    from headway.routing.controller import Told
    from headway.service import Remarks


def figures_of(carriers: Mapping[str, Store]) -> FiguresStore | None:
    """Return the first carrier's store of figures; None when none of them keeps figures."""
    stores = (one.capabilities.figures for one in carriers.values())
    return next((one for one in stores if one is not None), None)


def controller(
    carriers: Mapping[str, Store],
    settings: Settings,
    clock: Clock,
    *,
    holder: str,
    remarks: Remarks | None = None,
    told: Told | None = None,
) -> Controller | None:
    """Return what does the steps of roll-outs; None for an app in which there can be none.

    That is one with a single carrier, or without one that keeps control documents and figures.
    """
    control, figures, names = control_carrier(carriers), figures_of(carriers), tuple(carriers)
    if len(carriers) < 2 or control is None or figures is None:  # noqa: PLR2004 - from one to the other
        return None
    declared = Declared(names, parse_routes(settings.routes, names))
    return Controller(
        carriers, declared, control[1], figures, clock, holder=holder, remarks=remarks, told=told
    )
