"""What `headway gcp` does not touch: what is not declared, what somebody else made, and jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import run_v2, scheduler_v1
from google.pubsub_v1.types import Topic

from tests.integration.gcp_shop import Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import EmulatorServer


@pytest.fixture
def shop(emulator: EmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with open_shop(emulator, tmp_path, monkeypatch) as opened:
        yield opened


def test_what_is_not_declared_of_a_service_stays_as_somebody_set_it(shop: Shop) -> None:
    shop.ok("apply")
    service: Any = shop.fakes.services[f"{shop.parent}/services/io"]
    (ours,) = service.template.containers
    assert (ours.resources.cpu_idle, ours.resources.startup_cpu_boost) == (True, True)
    ours.resources.cpu_idle = False
    ours.resources.limits["nvidia.com/gpu"] = "1"
    ours.ports = [run_v2.ContainerPort(container_port=8080)]
    service.template.containers = [run_v2.Container(name="proxy", image="proxy:7"), ours]
    assert shop.pending() == []
    shop.write('services[1] = Service("io", "worker:2", ["io"], cpu=2, memory="4Gi")')
    assert shop.pending() == [("change", "service", "io")]
    shop.ok("apply")
    changed: Any = shop.fakes.services[service.name]
    proxy, ours = changed.template.containers
    assert (proxy.image, dict(proxy.resources.limits)) == ("proxy:7", {})
    limits = {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert (ours.image, dict(ours.resources.limits)) == ("worker:2", limits)
    assert (ours.resources.cpu_idle, ours.resources.startup_cpu_boost) == (False, True)
    assert shop.pending() == []


@pytest.mark.parametrize("ports", [True, False])
def test_a_container_without_our_name_is_the_one_with_a_port_or_the_first(shop: Shop, ports: bool) -> None:
    shop.ok("apply")
    service: Any = shop.fakes.services[f"{shop.parent}/services/io"]
    (ours,) = service.template.containers
    ours.name = ""
    proxy = run_v2.Container(image="proxy:7")
    if ports:
        ours.ports = [run_v2.ContainerPort(container_port=8080)]
    service.template.containers = [proxy, ours] if ports else [ours, proxy]
    assert shop.pending() == []


def test_a_service_without_a_declared_account_runs_as_the_default_one_and_may_enqueue(shop: Shop) -> None:
    shop.environment["HEADWAY_PUSH_SECRET"] = "s3cret"
    shop.account = ""
    shop.write()
    shop.ok("apply")
    default = "123456789-compute@developer.gserviceaccount.com"
    service: Any = shop.fakes.services[f"{shop.parent}/services/io"]
    assert service.template.service_account == default
    rights = set(shop.fakes.bindings())
    assert (f"projects/{shop.project}", "roles/cloudtasks.enqueuer", f"serviceAccount:{default}") in rights
    assert shop.pending() == []
    another = f"own@{shop.project}.iam.gserviceaccount.com"
    service.template.service_account = another
    assert shop.pending() == []
    shop.write('services[1] = Service("io", "worker:2", ["io"])')
    shop.ok("apply")
    changed: Any = shop.fakes.services[service.name]
    assert (changed.template.containers[0].image, changed.template.service_account) == ("worker:2", another)


def test_what_is_not_declared_of_a_push_stays_as_somebody_set_it(shop: Shop) -> None:
    account = f"push@{shop.project}.iam.gserviceaccount.com"

    def declare(name: str, **options: str) -> Any:
        given = "".join(f", {option}={value!r}" for option, value in options.items())
        shop.write(f'subscriptions = [Subscription("incoming", "uploads"{given})]')
        shop.ok("apply")
        assert shop.pending() == [], name
        (subscription,) = shop.fakes.subscriptions.values()
        return subscription.push_config

    push = declare("created", push="https://one.example", service_account=account)
    push.attributes["x-goog-version"] = "v1"
    push.oidc_token.audience = "somebody"
    push = declare("changed", push="https://two.example", service_account=account)
    assert (push.push_endpoint, push.oidc_token.service_account_email) == ("https://two.example", account)
    assert (dict(push.attributes), push.oidc_token.audience) == ({"x-goog-version": "v1"}, "somebody")
    push = declare("without a token", push="https://two.example")
    assert (dict(push.attributes), "oidc_token" in push) == ({"x-goog-version": "v1"}, False)
    push = declare("pulled")
    assert push.push_endpoint == ""


@pytest.mark.parametrize("busy", [True, False])
def test_a_queue_made_by_hand_and_named_like_one_of_ours_is_left_alone(shop: Shop, busy: bool) -> None:
    shop.make_queue("shop-legacy")
    if busy:
        shop.put_task("shop-legacy")
    before = shop.queue("shop-legacy")
    told = shop.ok("apply", "--yes")
    assert "keep queue shop-legacy  (not declared and not made by Headway: left alone)" in told
    assert shop.pending() == []
    assert shop.states()["queue", "shop-legacy"] == "not declared"
    assert "not made by Headway" in shop.ok("status", "--json")
    for name in ("legacy", "shop-legacy"):
        unknown = shop.run("pause", name)
        assert (unknown.exit_code, f"there is no '{name}'" in unknown.stderr) == (1, True)
    assert "keep queue shop-legacy  (not made by Headway: left alone)" in shop.ok("destroy", "--yes")
    assert shop.queues() == {"shop-legacy"}
    assert shop.queue("shop-legacy") == before


def test_a_queue_made_by_hand_is_adopted_when_it_is_declared(shop: Shop) -> None:
    shop.make_queue("shop-io")
    shop.make_queue("shop-extract")
    assert "keep queue shop-io  (not made by Headway: left alone)" in shop.ok("destroy", "--yes")
    assert "max_attempts: 100 -> -1" in shop.ok("apply")
    assert (shop.pending(), shop.states()["queue", "shop-io"]) == ([], "as declared")
    shop.ok("destroy", "--yes")
    assert shop.queues() == set()


def test_a_job_that_comes_between_plan_and_apply_keeps_its_queue(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(
        'queues["old"] = Queue()\nqueues["idle"] = Queue()\n'
        'services[1] = Service("io", "worker:1", ["io", "old", "idle"])'
    )
    shop.ok("apply")
    shop.write()

    def answer(*_: object, **__: object) -> bool:
        shop.put_task("shop-old")  # while somebody thinks about the question
        return True

    monkeypatch.setattr("headway.cli.gcp.command.somebody_is_there", lambda: True)
    monkeypatch.setattr("click.confirm", answer)
    result = shop.run("apply")
    assert result.exit_code == 0, result.output
    assert "kept queue shop-old  (no longer declared, but jobs wait in it)" in result.stdout
    assert "deleted queue shop-idle" in result.stdout
    assert shop.queues() == {"shop-extract", "shop-io", "shop-old"}
    assert list(shop.tasks.list_tasks(parent=f"{shop.parent}/queues/shop-old"))
    told = json.loads(shop.ok("destroy", "--yes", "--json"))["done"]
    assert ("delete", "shop-old") in {(step["action"], step["name"]) for step in told}


def test_destroy_touches_only_what_is_ours(shop: Shop) -> None:
    for name in ("other-io", "shop-eu-io", "shopping", "shop-by-hand"):  # another app's, and some of nobody's
        shop.make_queue(name)
    target = scheduler_v1.HttpTarget(uri="http://127.0.0.1:9/")
    job = scheduler_v1.Job(
        name=f"{shop.parent}/jobs/shop-report", schedule="* * * * *", time_zone="UTC", http_target=target
    )
    shop.scheduler.create_job(parent=shop.parent, job=job)
    topic = f"projects/{shop.project}/topics/mine"
    shop.fakes.topics[topic] = Topic(name=topic, labels={"headway-app": "other"})
    shop.ok("apply")
    shop.put_task("shop-io")
    before = set(shop.fakes.bindings())
    told = json.loads(shop.ok("destroy", "--yes", "--json"))["done"]
    assert {step["action"] for step in told} == {"delete"}
    assert shop.queues() == {"other-io", "shop-eu-io", "shopping", "shop-by-hand"}
    assert set(shop.jobs()) == {"shop-report"}
    assert (set(shop.fakes.topics), shop.fakes.services) == ({topic}, {})
    left = set(shop.fakes.bindings())
    gone = ("/services/", "/topics/", "/subscriptions/")
    kept = {binding for binding in before if not any(kind in binding[0] for kind in gone)}
    assert left == kept  # rights stay, but for those on what is gone
    assert "No changes" in shop.ok("destroy")


def test_a_resource_of_that_name_that_is_not_ours_is_not_taken_over(shop: Shop) -> None:
    name = f"{shop.parent}/services/io"
    shop.ok("apply")
    shop.fakes.services[name].labels["headway-app"] = "other"
    result = shop.run("apply")
    assert (result.exit_code, "it is not this app's" in result.stderr) == (1, True)
    assert shop.fakes.services[name].etag == "1"
