"""The check of this host's spool. It reads the file alone, so it says something also while every carrier is away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headway.cli.doctor.finding import Finding, error, ok, size, warn

if TYPE_CHECKING:
    from headway.config import Settings
    from headway.routing.failover.entries import Contents

_NEARLY_FULL: Final = 0.8
_LONG_MS: Final = 60_000  # ms that a job has waited: an outage, or nobody is there to flush it


@dataclass(frozen=True, slots=True)
class SpoolFacts:
    """What was seen of a spool. `problem`: why its file cannot be used; empty: it can."""

    path: str
    contents: Contents | None
    now_ms: int
    limit: int
    limit_bytes: int
    carriers: tuple[str, ...]
    problem: str = ""


def spool_facts(settings: Settings, namespace: str) -> SpoolFacts:
    """Read the file."""
    from headway.clock import SystemClock
    from headway.errors import ConfigError
    from headway.routing.failover.reading import read_spool
    from headway.routing.failover.spool import spool_path

    now_ms = SystemClock().now_ms()
    path, contents, problem = settings.spool, None, ""
    try:
        path = str(spool_path(settings.spool).absolute())
        contents, _ = read_spool(spool_path(settings.spool), namespace, now_ms)
    except ConfigError as found:
        problem = str(found)
    return SpoolFacts(
        path,
        contents,
        now_ms,
        settings.spool_limit,
        settings.spool_bytes,
        tuple(settings.carrier_urls),
        problem,
    )


def check_spool(facts: SpoolFacts) -> Finding:
    """Jobs in the spool run nowhere: how many wait, for how long, and whether more fit."""
    contents = facts.contents
    if contents is None:
        return error(
            "spool", facts.problem, "jobs are refused while their carrier is away; put the file right"
        )
    away = [one for one in contents.breakers if one.state == "open"]
    said = [f"carrier {one.carrier} is away for process {one.pid}: {one.why}" for one in away]
    lost = sorted({one.carrier for one in contents.lanes} - set(facts.carriers))
    waiting = contents.jobs - contents.parked
    age_ms = 0 if contents.oldest_ms is None else facts.now_ms - contents.oldest_ms
    if waiting:
        said.insert(0, f"{waiting} jobs wait in {facts.path}, the oldest for {age_ms / 1000:.0f} s")
    full = max(contents.jobs / facts.limit, contents.size / facts.limit_bytes)
    if lost:
        what = f"{facts.path} holds jobs for {', '.join(lost)}, which the settings do not have"
        return error(
            "spool", what, "name the carrier again until they are brought there: `headway spool flush`"
        )
    if contents.parked:
        said.append(f"{contents.parked} jobs are set aside")
        advice = "`headway spool show` says why; then `headway spool resend` or `headway spool drop`"
        return warn("spool", "; ".join(said), advice)
    if full >= _NEARLY_FULL:
        what = f"{facts.path} is {full:.0%} full: {contents.jobs} jobs, {size(contents.size)}"
        return warn(
            "spool",
            what,
            "jobs are refused when it is; bring the carrier back, or raise spool_limit, spool_bytes",
        )
    if away or age_ms > _LONG_MS:
        advice = "bring the carrier back; then processes of the app on this host, or `headway spool flush`, empty it"
        return warn("spool", "; ".join(said), advice)
    return ok("spool", "; ".join(said) or f"{facts.path}: empty")
