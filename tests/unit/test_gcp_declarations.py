from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headway.errors import DeclarationError
from headway.gcp import Deployment, Queue, Service, Subscription, Topic

if TYPE_CHECKING:
    from collections.abc import Callable


def service(name: str = "io", **options: Any) -> Service:
    return Service(name, **{"image": "worker:1", "queues": ["io"], **options})


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Queue(rate=0), "rate must be above 0"),
        (lambda: Queue(rate=501), "at most 500"),
        (lambda: Queue(concurrency=5001), "from 1 to 5000"),
        (lambda: service("Extract"), "a letter first"),
        (lambda: service("x" * 50), "1 to 49"),
        (lambda: service(image=""), "image"),
        (lambda: service(queues=[]), "queues must list names"),
        (lambda: service(queues="io"), "queues must list names"),
        (lambda: service(cpu=3), "cpu must be one of 1, 2, 4, 6, 8"),
        (lambda: service(memory="2GB"), "512Mi or 2Gi"),
        (lambda: service(memory="8Gi"), "memory for 1 CPU must be from 0.125 to 4 Gi"),
        (lambda: service(cpu=4, memory="1Gi"), "from 2 to 16 Gi"),
        (lambda: service(timeout=timedelta(minutes=61)), "at most an hour"),
        (lambda: service(timeout=0.5), "whole seconds"),
        (lambda: service(min_instances=2, max_instances=1), "min_instances"),
        (lambda: service(max_instances=0), "at least 1"),
        (lambda: service(concurrency=0), "from 1 to 1000"),
        (lambda: service(service_account="invoker"), "e-mail address"),
        (lambda: service(env={"NOT-A-NAME": "x"}), "names of variables"),
        (lambda: Topic("goog-topic"), "not goog"),
        (lambda: Topic("uploads", retention=60), "from 0:10:00"),
        (lambda: Subscription("s", "uploads"), "3 to 255"),
        (lambda: Subscription("sub", "uploads", push="example.com"), "must be a URL"),
        (lambda: Subscription("sub", "uploads", max_deliveries=4), "from 5 to 100"),
        (lambda: Deployment(services=[service(), service()]), "declared once; got 'io'"),
        (lambda: Deployment(services=[service("a"), service("b")]), "is also by; got 'a'"),
        (lambda: Deployment(topics=[Topic("one"), Topic("one")]), "declared once"),
        (lambda: Deployment(subscriptions=[Subscription("sub", "none")]), "a topic of that name"),
        (lambda: Deployment(enqueuers=["me@example.com"]), "serviceAccount:"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_where_it_is_written(declare: Callable[[], object], said: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert said in str(refused.value)


def test_what_was_declared_is_not_changed_from_outside() -> None:
    queues, env = ["io"], {"A": "1"}
    declared = Deployment(services=[service(queues=queues, env=env)])
    queues.append("other")
    env["A"] = "2"
    assert (declared.services[0].queues, dict(declared.services[0].env)) == (("io",), {"A": "1"})
    with pytest.raises(TypeError):
        declared.services[0].env["A"] = "3"  # type: ignore[index]


def test_the_repr_shows_no_value_of_the_environment() -> None:
    assert "hunter2" not in repr(Deployment(services=[service(env={"PASSWORD": "hunter2"})]))


def test_declaring_loads_no_client_of_google() -> None:
    code = "import sys, headway.gcp; sys.exit(any(name.startswith('google.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
