"""The pages on settings and defaults say what the code does."""

from __future__ import annotations

import json
import re

from headway import Retry
from headway.brokers.base import Retention
from headway.config import Settings
from headway.runtime import supervisor
from tests.docs.samples import ROOT

REFERENCE = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
DEFAULTS = (ROOT / "docs/explanation/defaults.md").read_text(encoding="utf-8")


def shown(value: object) -> str:
    """A default as the tables write it."""
    if value in ("", [], {}):
        return "*(empty)*"
    if isinstance(value, bool):
        return f"`{json.dumps(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def documented() -> dict[str, str]:
    return dict(re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", REFERENCE, re.MULTILINE))


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    settings = Settings()
    assert documented() == {name: shown(getattr(settings, name)) for name in Settings.__struct_fields__}


def test_a_worker_has_as_many_processes_by_default_as_the_reference_says() -> None:
    assert supervisor._MAX_PROCESSES == 8
    assert "at most 8" in REFERENCE


def test_every_setting_with_a_value_has_its_reason() -> None:
    without = {
        "url",
        "carriers",
        "routes",
        "namespace",
        "include",
        "queues",
        "queue_concurrency",
        "compress_over",
        "format",
    }
    missing = [
        name for name in Settings.__struct_fields__ if name not in without and f"`{name}`" not in DEFAULTS
    ]
    assert missing == []


def test_the_reasons_are_given_for_the_defaults_of_today() -> None:
    table = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", DEFAULTS, re.MULTILINE))
    settings, retry, retention = Settings(), Retry(), Retention()
    assert table["Attempts of a failing job"] == f"{retry.max_attempts}"
    assert (
        table["Wait before a retry"]
        == f"{float(str(retry.initial)):g} s, times {retry.factor:g}, at most {float(str(retry.maximum)) / 60:g} min, half of it at random"
    )
    assert retry.jitter == 0.5
    assert (
        table["Time limit of an attempt"]
        == f"{settings.timeout / 60:g} min, ended hard {settings.kill_after:g} s later"
    )
    assert (
        table["Deaths of a worker that a job survives"]
        == f"{settings.max_crashes - 1}; the {settings.max_crashes}th is its last"
    )
    assert (
        table["Lease"]
        == f"{settings.lease:g} s, renewed every {settings.lease / 3:g} s from outside the job's process"
    )
    assert table["Grace after SIGTERM"] == f"{settings.grace:g} s, then handed back"
    assert table["Jobs at once"] == f"{settings.concurrency} a process"
    assert (
        table["Succeeded jobs and results are kept"]
        == f"{settings.keep_succeeded / 3600:g} h, at most {settings.max_succeeded:,}"
    )
    assert table["Failed jobs are kept"] == f"{settings.keep_failed / 86_400:g} days, all of them"
    assert table["Size of a payload"] == f"{settings.payload_limit // 1024} KiB"
    assert (retention.succeeded_ms, retention.failed_ms) == (
        settings.keep_succeeded * 1000,
        settings.keep_failed * 1000,
    )
    assert retention.max_succeeded == settings.max_succeeded
