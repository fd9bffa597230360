"""The check of an app's carriers: whether routes, or jobs, are where the settings no longer lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headway.cli.doctor.finding import Finding, Level, ok
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget

_HIDDEN: Final = "***"  # stands for a password in a URL that is shown


@dataclass(frozen=True, slots=True)
class Left:
    """A carrier that is not among the settings any more. `jobs` are still to run there; None: that cannot be told."""

    name: str
    url: str
    jobs: int | None


@dataclass(frozen=True, slots=True)
class CarrierFacts:
    """What was seen of an app's carriers and routes. `unknown` and `former` are carriers with queues."""

    carriers: tuple[str, ...] = ("main",)
    unknown: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    former: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    left: tuple[Left, ...] = ()
    trouble: str = ""


def check_carriers(facts: CarrierFacts) -> Finding:
    """Jobs on a carrier that the settings no longer name are run, listed and found by nobody."""
    errors = [
        f"the routes of {', '.join(queues)} name {name}, which the settings do not have"
        for name, queues in facts.unknown.items()
    ]
    errors += [
        f"{one.jobs} jobs would be stranded on {one.name} ({one.url})" for one in facts.left if one.jobs
    ]
    warnings = [
        f"{one.name} ({one.url}) left the settings; how many jobs would be stranded there cannot be told from here"
        for one in facts.left
        if one.jobs is None
    ]
    told = {one.name for one in facts.left}
    warnings += [
        f"jobs of {', '.join(queues)} went to {name} before, which the settings do not have"
        for name, queues in facts.former.items()
        if name not in told and name not in facts.unknown
    ]
    if facts.trouble:
        warnings.append(f"the routes cannot be read: {facts.trouble}")
    if not errors and not warnings:
        return ok("carriers", ", ".join(facts.carriers))
    return Finding(
        Level.ERROR if errors else Level.WARN,
        "carriers",
        "; ".join([*errors, *warnings]),
        "name the carrier again in the setting carriers, route its queues elsewhere (headway routes set), and take it "
        "out when nothing waits there (headway routes show)",
    )


async def carrier_facts(opened: OpenTarget) -> CarrierFacts:
    """Ask the control store, and the carriers that left, as far as their URLs can be used."""
    from headway.cli.routes.known import clock_of, declared_of
    from headway.errors import CodecError
    from headway.routing.changing import control_carrier, read_routes
    from headway.routing.roster import former_routes, read_roster, unknown_carriers

    carriers = tuple(opened.carriers)
    control = control_carrier(opened.carriers)
    if control is None:
        return CarrierFacts(carriers)
    try:
        table = (await read_routes(control[1], clock_of(opened))).table
        roster, _ = await read_roster(control[1])
    except CodecError as error:
        return CarrierFacts(carriers, trouble=str(error))
    known = declared_of(opened)
    left = [
        Left(name, one.url, await _jobs_at(one.url, opened))
        for name, one in roster.gone.items()
        if name not in carriers
    ]
    return CarrierFacts(
        carriers,
        unknown_carriers(known.over(table).routes.values(), carriers),
        unknown_carriers(former_routes(table), carriers),
        tuple(left),
    )


async def _jobs_at(url: str, opened: OpenTarget) -> int | None:
    """Return how many jobs of the app are to run on a carrier of which only the shown URL is known."""
    from headway.app.opening import broker_settings
    from headway.brokers.url import from_url
    from headway.cli.doctor.sqlite_probe import sqlite_facts

    if _HIDDEN in url:
        return None
    name = opened.app.name if opened.app is not None else opened.settings.namespace
    try:
        if url.startswith("sqlite:") and not sqlite_facts(url).exists:
            return 0  # opening it would make it
        async with from_url(url, broker_settings(name, opened.settings)) as carrier:
            counts = await carrier.counts()
    except (HeadwayError, OSError):
        return None
    return sum(count for one in counts for state, count in one.counts.items() if not state.terminal)
