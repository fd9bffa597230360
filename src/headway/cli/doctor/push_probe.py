"""Looking at Cloud Tasks and at the guard's store; nothing is changed in either."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from headway.brokers.cloudtasks.api.calls import Calls
from headway.brokers.cloudtasks.api.names import may_be_of
from headway.brokers.cloudtasks.location import parse
from headway.cli.doctor.push import PushFacts
from headway.clock import SystemClock
from headway.errors import BrokerError
from headway.guards.url import from_url

if TYPE_CHECKING:
    from headway.config import Settings


async def push_facts(settings: Settings, namespace: str) -> PushFacts:
    """Look; ConfigError when a URL is wrong or a package is missing."""
    location = parse(settings.url)
    facts = PushFacts(
        guard=settings.guard.partition(":")[0].lower(),
        targets=tuple(dict.fromkeys(filter(None, (settings.target, *settings.targets.values())))),
        service_account=bool(settings.service_account),
        secret=bool(settings.push_secret),
        emulated=bool(location.emulator),
    )
    facts = await _guard(facts, settings.guard, namespace)
    api = Calls(location)
    try:
        await api.list_queues()  # the first call also makes the connection
        started = time.perf_counter()
        found = await api.list_queues()
        taken = (time.perf_counter() - started) * 1000
    except BrokerError as problem:
        return replace(facts, api_problem=str(problem))
    finally:
        await api.close()
    return replace(facts, api_ms=taken, queues=sum(may_be_of(namespace, queue.id) for queue in found))


async def _guard(facts: PushFacts, url: str, namespace: str) -> PushFacts:
    if not url:
        return facts
    store = from_url(url, namespace=namespace or "headway-doctor")
    try:
        await store.open()
        started = time.perf_counter()
        await store.read(["headway-doctor"], now_ms=SystemClock().now_ms())
        return replace(facts, guard_ms=(time.perf_counter() - started) * 1000)
    except BrokerError as problem:
        return replace(facts, guard_problem=str(problem))
    finally:
        await store.close()
