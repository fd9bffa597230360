"""The command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click
from msgspec import structs

from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, import_app, settings_of, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.doctor.carriers import CarrierFacts
    from headway.cli.doctor.finding import Finding
    from headway.cli.doctor.schedules import ScheduleFacts
    from headway.cli.doctor.work import WorkFacts
    from headway.cli.target import OpenTarget
    from headway.config import Settings


@click.command(
    epilog=examples(
        "headway doctor --app shop.jobs:app",
        "headway doctor --url redis://localhost:6379/0",
        "headway doctor --url sqlite:///headway.db --namespace shop --json",
    )
)
@json_option("the findings")
@takes_target
def doctor(target: Target, *, as_json: bool) -> int:
    """Check a carrier, and with --app or --namespace an app's work on it, and say what to change.

    Exit code 1 when something is wrong (error); warnings do not count.
    """
    from headway.cli.doctor.finding import Level
    from headway.text import redact

    settings, namespace = _settings(target)
    findings = _examine(target, settings, namespace)
    if settings.spool:
        from headway.cli.doctor.spool import check_spool, spool_facts

        findings.append(check_spool(spool_facts(settings, namespace)))
    url = ", ".join(map(redact, settings.carrier_urls.values()))
    failed = any(finding.level is Level.ERROR for finding in findings)
    if as_json:
        _print_json(url, findings, failed=failed)
    else:
        _print(url, findings)
    return 1 if failed else 0


def _settings(target: Target) -> tuple[Settings, str]:
    if target.app is not None:
        app = import_app(target.app)
        return app.settings, app.settings.namespace or app.name
    settings = settings_of(target)
    return settings, settings.namespace


def _examine(target: Target, settings: Settings, namespace: str) -> list[Finding]:
    """Check the server or the file of each carrier, then what the app has on them."""
    from headway.cli.doctor.carriers import check_carriers
    from headway.cli.doctor.finding import Level
    from headway.cli.doctor.schedules import check_schedules
    from headway.cli.doctor.work import WORK_CHECKS
    from headway.errors import BrokerError

    findings: list[Finding] = []
    urls = settings.carrier_urls
    opens = True
    for name, url in urls.items():
        found, there = _examined(structs.replace(settings, url=url), namespace)
        opens = opens and there
        findings += found if len(urls) == 1 else [replace(one, check=f"{name}: {one.check}") for one in found]
    if namespace and opens and not any(finding.level is Level.ERROR for finding in findings):
        try:
            work, schedules, carriers = with_target(target, _app_facts)
        except BrokerError as problem:
            return [*findings, _away(problem)]
        findings += [
            *(check(work) for check in WORK_CHECKS),
            check_schedules(schedules),
            check_carriers(carriers),
        ]
    return findings


def _examined(settings: Settings, namespace: str) -> tuple[list[Finding], bool]:
    """Check one carrier; false when there is nothing yet that could be opened."""
    import asyncio

    from headway.errors import BrokerError

    try:
        if settings.url.startswith("sqlite:"):
            from headway.cli.doctor.sqlite import SQLITE_CHECKS
            from headway.cli.doctor.sqlite_probe import sqlite_facts

            seen = sqlite_facts(settings.url)
            return [check(seen) for check in SQLITE_CHECKS], seen.exists  # opening it would make it
        if settings.url.startswith("cloudtasks:"):
            return _pushed(settings, namespace), True
        from headway.brokers.base import BrokerSettings
        from headway.brokers.url import from_url
        from headway.cli.doctor.redis import REDIS_CHECKS
        from headway.cli.doctor.redis_probe import redis_facts

        from_url(settings.url, BrokerSettings("headway-doctor"))  # says what is wrong with a URL or missing
        facts = asyncio.run(redis_facts(settings.url, namespace))
        return [check(facts) for check in REDIS_CHECKS], True
    except BrokerError as problem:
        return [_away(problem)], False


def _away(problem: Exception) -> Finding:
    from headway.cli.doctor.finding import error

    return error("carrier", str(problem), "start it, or correct the URL")


async def _app_facts(opened: OpenTarget) -> tuple[WorkFacts, ScheduleFacts, CarrierFacts]:
    from headway.cli.doctor.carriers import carrier_facts
    from headway.cli.doctor.schedules import schedule_facts
    from headway.cli.doctor.work import work_facts

    return (
        await work_facts(opened.carrier, opened.settings),
        await schedule_facts(opened.app, opened.carrier),
        await carrier_facts(opened),
    )


def _pushed(settings: Settings, namespace: str) -> list[Finding]:
    import asyncio

    from headway.brokers.base import BrokerSettings
    from headway.brokers.url import from_url

    from_url(settings.url, BrokerSettings("headway-doctor"))  # says what is wrong with a URL or missing
    from headway.cli.doctor.push import PUSH_CHECKS
    from headway.cli.doctor.push_probe import push_facts

    facts = asyncio.run(push_facts(settings, namespace))
    return [check(facts) for check in PUSH_CHECKS]


def _print_json(url: str, findings: list[Finding], *, failed: bool) -> None:
    from dataclasses import asdict

    from headway.cli.output import print_json

    print_json({"url": url, "ok": not failed, "findings": [asdict(finding) for finding in findings]})


def _print(url: str, findings: list[Finding]) -> None:
    from headway.cli.doctor.finding import Level
    from headway.cli.output import printable

    colours = {Level.OK: "green", Level.WARN: "yellow", Level.ERROR: "red"}
    emit(url)
    widest = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = click.style(f"{finding.level.value:<5}", fg=colours[finding.level])
        emit(f"{level}  {finding.check:<{widest}}  {printable(finding.message)}")
        if finding.advice:
            emit(f"{'':<{widest + 9}}{printable(finding.advice)}")
    counted = [f"{sum(f.level is level for f in findings)} {level.value}" for level in Level]
    emit(", ".join(counted))
