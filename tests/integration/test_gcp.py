"""`headway gcp` against the emulator, and against fakes of the services that have none, over gRPC."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.run_v2.types import IngressTraffic
from google.iam.v1 import policy_pb2  # type: ignore[import-untyped]
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]
from google.type import expr_pb2  # type: ignore[import-untyped]

from headway.cli.root import cli
from tests.integration.gcp_shop import ALL, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import EmulatorServer


@pytest.fixture
def shop(emulator: EmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with open_shop(emulator, tmp_path, monkeypatch) as opened:
        yield opened


# --- plan, apply, apply ---------------------------------------------------------------------------------------------


def test_plan_changes_nothing_and_apply_twice_changes_once(shop: Shop) -> None:
    assert len(shop.pending()) == ALL
    assert (shop.queues(), shop.jobs(), shop.fakes.writes) == (set(), {}, [])
    assert f"Plan: {ALL} to create." in shop.ok("apply")
    assert shop.pending() == []
    writes = list(shop.fakes.writes)
    assert "No changes" in shop.ok("apply")
    assert shop.fakes.writes == writes
    assert set(shop.states().values()) == {"as declared"}


def test_plan_tells_of_schedules_made_at_run_time(shop: Shop) -> None:
    assert "run time" not in shop.run("plan").stderr
    for guard, told in (
        (f"sqlite:///{shop.folder}/guard.db", True),
        (f"sqlite:///{shop.folder}/no/guard.db", False),
    ):
        shop.environment["HEADWAY_GUARD"] = guard
        shop.write()  # the app reads its settings when it is imported
        if told:
            made = ["schedules", "create", f"{shop.module}:app", "tenant-7", "tidy", "--every", "1h"]
            result = CliRunner().invoke(cli, made, env=shop.environment, prog_name="headway")
            assert result.exit_code == 0, result.output
        result = shop.run("plan", "--json")
        assert ("schedules made at run time: 1. They get no Cloud Scheduler job" in result.stderr) is told
        assert "tenant-7" not in result.stdout


def test_what_apply_made_is_what_was_declared(shop: Shop) -> None:
    shop.ok("apply")
    queue = shop.queue("shop-io")
    assert (queue.rate_limits.max_dispatches_per_second, queue.retry_config.max_attempts) == (100, -1)
    job = shop.jobs()["shop-nightly"]
    assert (job.schedule, job.time_zone) == ("0 3 * * *", "Europe/Zurich")
    assert (
        job.http_target.uri
        == job.http_target.oidc_token.audience
        == "https://io-123456789.europe-west1.run.app"
    )
    service: Any = shop.fakes.services[f"{shop.parent}/services/extract"]
    assert dict(service.labels) == {"headway-app": "shop"}
    (container,) = service.template.containers
    assert (service.ingress, service.invoker_iam_disabled) == (
        IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
        True,
    ), "or Cloud Run takes the signature off the tokens that the receiver checks"
    assert dict(container.resources.limits) == {"cpu": "2", "memory": "2Gi"}
    assert service.template.timeout.total_seconds() == 3600
    member = f"serviceAccount:invoker@{shop.project}.iam.gserviceaccount.com"
    assert (f"{shop.parent}/services/extract", "roles/run.invoker", member) in set(shop.fakes.bindings())
    (subscription,) = shop.fakes.subscriptions.values()
    assert (
        subscription.dead_letter_policy.max_delivery_attempts,
        "ttl" in subscription.expiration_policy,
    ) == (5, False)


def test_texts_show_no_value_of_the_environment(shop: Shop) -> None:
    assert "hunter2" not in shop.run("plan").output + shop.ok("apply") + shop.ok("status")
    shop.write('import dataclasses\nservices[1] = dataclasses.replace(services[1], env={"PLAIN": "hunter3"})')
    told = shop.run("plan").output
    assert "env.PLAIN: (hidden) -> (hidden)" in told
    assert "env.TOKEN: secret token:latest -> -" in told
    assert "hunter" not in told


# --- drift ----------------------------------------------------------------------------------------------------------


def test_a_drifted_queue_is_shown_and_mended(shop: Shop) -> None:
    shop.ok("apply")
    queue = shop.queue("shop-io")
    queue.rate_limits.max_dispatches_per_second = 3
    queue.retry_config.max_attempts = 7
    shop.tasks.update_queue(queue=queue)
    shop.tasks.pause_queue(name=queue.name)
    result = shop.run("plan")
    assert (
        result.exit_code,
        "rate: 3 -> 100" in result.stdout,
        "max_attempts: 7 -> -1" in result.stdout,
    ) == (3, True, True)
    assert shop.states()["queue", "shop-io"] == "drifted"
    assert "changed queue shop-io" in shop.ok("apply")
    mended = shop.queue("shop-io")
    assert (mended.rate_limits.max_dispatches_per_second, mended.retry_config.max_attempts) == (100, -1)
    assert mended.state == tasks_v2.Queue.State.PAUSED  # that was somebody's will
    assert shop.pending() == []


def test_all_that_drifts_is_mended_and_the_rest_is_left_alone(shop: Shop) -> None:
    shop.ok("apply")
    service = shop.fakes.services[f"{shop.parent}/services/io"]
    service.template.containers[0].image = "worker:0"
    service.invoker_iam_disabled = False
    service.template.vpc_access.connector = "projects/p/locations/l/connectors/c"
    service.template.revision = "io-00007"
    service.annotations["owner"] = "somebody"
    topic: Any = shop.fakes.topics[f"projects/{shop.project}/topics/uploads"]
    topic.message_retention_duration = {"seconds": 600}
    topic.labels["team"] = "files"
    (subscription,) = shop.fakes.subscriptions.values()
    subscription.ack_deadline_seconds = 99
    job = shop.jobs()["shop-nightly"]
    job.schedule = "0 4 * * *"
    shop.scheduler.update_job(job=job, update_mask=FieldMask(paths=["schedule"]))
    shop.scheduler.pause_job(name=job.name)
    assert {kind for _, kind, _ in shop.pending()} == {"service", "topic", "subscription", "schedule"}
    shop.ok("apply")
    assert shop.pending() == []
    service = shop.fakes.services[f"{shop.parent}/services/io"]
    assert (service.template.containers[0].image, service.invoker_iam_disabled) == ("worker:1", True)
    assert (service.annotations["owner"], bool(service.template.vpc_access.connector)) == ("somebody", True)
    assert shop.fakes.topics[topic.name].labels["team"] == "files"
    mended = shop.jobs()["shop-nightly"]
    assert (mended.schedule, mended.state) == ("0 3 * * *", scheduler_v1.Job.State.PAUSED)


def test_messages_can_come_to_the_dead_letter_topic(shop: Shop) -> None:
    shop.ok("apply")
    agent = "serviceAccount:service-123456789@gcp-sa-pubsub.iam.gserviceaccount.com"
    project = f"projects/{shop.project}"
    assert set(shop.fakes.bindings()) >= {
        (f"{project}/topics/dead", "roles/pubsub.publisher", agent),
        (f"{project}/subscriptions/incoming", "roles/pubsub.subscriber", agent),
    }


def test_what_is_gone_is_made_again(shop: Shop) -> None:
    shop.ok("apply")
    shop.scheduler.delete_job(name=shop.jobs()["shop-nightly"].name)
    del shop.fakes.services[f"{shop.parent}/services/io"]
    found = set(shop.pending())
    assert {("create", "service", "io"), ("create", "schedule", "shop-nightly")} <= found
    shop.ok("apply")
    assert shop.pending() == []


def test_a_topic_that_a_subscription_cannot_change_to_replaces_it_after_a_question(shop: Shop) -> None:
    shop.ok("apply")
    shop.write('subscriptions = [Subscription("incoming", "dead")]')
    assert ("replace", "subscription", "incoming") in shop.pending()
    assert shop.run("apply").exit_code == 2
    shop.ok("apply", "--yes")
    assert shop.pending() == []


# --- what is no longer declared, and destroy --------------------------------------------------------------------------


def test_what_is_no_longer_declared_goes_but_no_queue_with_jobs(shop: Shop) -> None:
    shop.write(
        'queues["old"] = Queue()\nqueues["full"] = Queue()\nservices[1] = Service("io", "worker:1", ["io", "old", "full"])'
    )
    shop.ok("apply")
    shop.put_task("shop-full")
    shop.write("subscriptions = []")
    result = shop.run("plan")
    assert "keep queue shop-full  (no longer declared, but jobs wait in it)" in result.stdout
    assert "delete queue shop-old" in result.stdout
    refused = shop.run("apply")
    assert (refused.exit_code, "--yes goes" in refused.stderr) == (2, True)
    assert "shop-old" in shop.queues()
    shop.ok("apply", "--yes")
    assert shop.queues() == {"shop-extract", "shop-io", "shop-full"}
    assert (shop.fakes.subscriptions, shop.pending()) == ({}, [])
    assert shop.states()["queue", "shop-full"] == "not declared"


def test_destroy_asks_and_takes_no_for_an_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.ok("apply")
    refused = shop.run("destroy", answer="y\n")  # nobody is at the other end of a pipe
    assert (refused.exit_code, len(shop.queues())) == (2, 2)
    monkeypatch.setattr("headway.cli.gcp.command.somebody_is_there", lambda: True)
    declined = shop.run("destroy", answer="n\n")
    assert (declined.exit_code, "nothing was changed" in declined.stderr, len(shop.queues())) == (1, True, 2)
    accepted = shop.run("destroy", answer="y\n")
    assert (accepted.exit_code, shop.queues()) == (0, set())


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_failure_half_way_names_what_is_done_and_applying_again_completes(shop: Shop) -> None:
    shop.fakes.fail("CreateService", None, grpc.StatusCode.PERMISSION_DENIED)
    result = shop.run("apply")
    assert result.exit_code == 1
    assert "create service io: the right is missing" in result.stderr
    assert f"(4 of {ALL} steps are done" in result.stderr
    assert "created service extract" in result.stdout
    assert (shop.queues(), len(shop.fakes.services)) == (set(), 1)
    assert len(shop.pending()) == ALL - 4
    shop.ok("apply")
    assert shop.pending() == []


def test_a_call_whose_answer_was_lost_is_not_a_failure(shop: Shop) -> None:
    for method in ("CreateTopic", "CreateService", "SetIamPolicy", "CreateSubscription"):
        shop.fakes.lose_answer(method)
    shop.ok("apply")
    assert shop.pending() == []


def test_a_deployment_that_fails_is_a_failure_and_is_shown_until_it_is_mended(shop: Shop) -> None:
    shop.fakes.deployments_fail = "Image 'worker:1' not found."
    result = shop.run("apply")
    assert (result.exit_code, "create service extract: Image 'worker:1' not found." in result.stderr) == (
        1,
        True,
    )
    shop.fakes.deployments_fail = ""
    shop.ok("apply")
    assert shop.states()["service", "extract"] == "failed"
    assert "as declared, but its last deployment failed: Image 'worker:1' not found." in shop.ok("plan")
    shop.write('services[0] = Service("extract", "worker:2", ["extract"], timeout=3600)')
    shop.ok("apply")
    assert shop.states()["service", "extract"] == "as declared"


def test_a_deployment_is_waited_for(shop: Shop) -> None:
    shop.fakes.deployments_last = True
    shop.fakes.fail("GetOperation", grpc.StatusCode.UNAVAILABLE)
    shop.ok("apply")
    assert shop.fakes.calls.count("GetOperation") >= 2
    assert shop.pending() == []


def test_a_policy_that_somebody_changes_meanwhile_keeps_his_members_and_conditions(shop: Shop) -> None:
    project = f"projects/{shop.project}"
    condition = expr_pb2.Expr(expression="request.time < timestamp('2030-01-01T00:00:00Z')")
    shop.fakes.policies[project] = policy_pb2.Policy(
        etag=b"e",
        bindings=[
            policy_pb2.Binding(role="roles/owner", members=["user:a@example.com"]),
            policy_pb2.Binding(
                role="roles/cloudtasks.enqueuer", members=["user:b@example.com"], condition=condition
            ),
        ],
    )
    shop.fakes.fail("SetIamPolicy", grpc.StatusCode.ABORTED)
    shop.ok("apply")
    kept = shop.fakes.policies[project]
    assert {(one.role, tuple(one.members), one.condition.expression) for one in kept.bindings} >= {
        ("roles/owner", ("user:a@example.com",), ""),
        ("roles/cloudtasks.enqueuer", ("user:b@example.com",), condition.expression),
    }
    assert shop.pending() == []


def test_an_emulator_that_is_not_there_is_said_in_a_line(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.gcp.errors._PAUSES_S", (0.0,))
    shop.environment["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:9"
    result = shop.run("plan")
    assert (result.exit_code, "list the Pub/Sub" in result.stderr, result.stderr.count("\n")) == (1, True, 1)


# --- pause, resume, and what else there is ----------------------------------------------------------------------------


def test_pause_and_resume_by_the_names_of_the_app(shop: Shop) -> None:
    shop.ok("apply")
    assert json.loads(shop.ok("pause", "io", "nightly", "--json")) == {
        "paused": ["queue shop-io", "schedule shop-nightly"]
    }
    states = shop.states()
    assert (states["queue", "shop-io"], states["queue", "shop-extract"]) == ("paused", "as declared")
    assert states["schedule", "shop-nightly"] == "paused"
    assert shop.ok("pause", "io") == "nothing to do\n"
    assert "No changes" in shop.ok("apply")
    assert shop.queue("shop-io").state == tasks_v2.Queue.State.PAUSED
    assert "queue shop-io resumed" in shop.ok("resume")
    assert "paused" not in shop.states().values()
    unknown = shop.run("pause", "mail")
    assert (unknown.exit_code, "the app's queues are extract, io" in unknown.stderr) == (1, True)


def test_where_there_is_an_emulator_google_is_never_asked(shop: Shop) -> None:
    for name in (
        "PUBSUB_EMULATOR_HOST",
        "CLOUD_RUN_EMULATOR_HOST",
        "IAM_EMULATOR_HOST",
        "RESOURCE_MANAGER_EMULATOR_HOST",
    ):
        shop.environment[name] = ""
    refused = shop.run("plan")  # who serves the queue is not known here
    assert (refused.exit_code, "set `target`" in refused.stderr) == (2, True)
    shop.environment["HEADWAY_TARGET"] = "http://127.0.0.1:9/"
    shop.write()
    result = shop.run("apply")
    assert (
        result.exit_code,
        "left out, as no emulator serves it: binding, service, subscription, topic" in result.stderr,
    ) == (0, True)
    assert (len(shop.queues()), len(shop.jobs())) == (2, 1)


def test_the_deployment_may_live_elsewhere_or_not_at_all(shop: Shop) -> None:
    shop.environment["HEADWAY_TARGET"] = "http://127.0.0.1:9/"
    (shop.folder / "cloud_of_the_shop.py").write_text(
        "from headway.gcp import Deployment\nhere = Deployment()\n"
    )
    try:
        result = shop.run("plan", "--deployment", "cloud_of_the_shop:here")
        assert (result.exit_code, "service" in result.stdout) == (3, False)
        wrong = shop.run("plan", "--deployment", "cloud_of_the_shop:there")
        assert (wrong.exit_code, "no headway.gcp.Deployment of that name" in wrong.stderr) == (2, True)
    finally:
        sys.modules.pop("cloud_of_the_shop", None)


def test_apps_with_bands_of_priorities_have_a_queue_for_each(shop: Shop) -> None:
    shop.environment["HEADWAY_PRIORITY_BANDS"] = "5"
    shop.ok("apply")
    assert shop.queues() == {"shop-extract", "shop-extract-p1", "shop-io", "shop-io-p1"}
    assert len(json.loads(shop.ok("pause", "io", "--json"))["paused"]) == 2
    shop.ok("destroy", "--yes")
    assert shop.queues() == set()
