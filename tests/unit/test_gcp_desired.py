from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headway import Headway
from headway.config import load_settings
from headway.errors import ConfigError, DeclarationError
from headway.gcp import Deployment, Queue, Secret, Service, Subscription, Topic
from headway.gcp.desired import desired, needs_number, place_of, queue_ids
from headway.gcp.naming import description_of, label_of, schedule_of
from headway.gcp.resources import (
    CloudBinding,
    CloudQueue,
    CloudSchedule,
    CloudService,
    CloudSubscription,
    EnvValue,
)

INVOKER = "invoker@demo.iam.gserviceaccount.com"
NUMBER = "42"


def make_app(**settings: Any) -> Headway:
    given: dict[str, Any] = {"url": "cloudtasks://demo/europe-west1", "service_account": INVOKER, **settings}
    app = Headway("shop", **given)

    @app.task(name="extract", queue="extract", timeout=timedelta(minutes=60))
    async def extract() -> None: ...

    @app.cron("0 3 * * *", timezone="Europe/Zurich", name="nightly")
    @app.task(name="tidy", queue="io")
    async def tidy() -> None: ...

    return app


def extract(**options: Any) -> Service:
    return Service("extract", **{"image": "i", "queues": ["extract"], "cpu": 2, "memory": "2Gi", "timeout": 3600, **options})  # fmt: skip


def io(**options: Any) -> Service:
    return Service("io", **{"image": "i", "queues": ["io"], **options})


BOTH = Deployment(services=[extract(), io()])


def of_kind(kind: type[Any], found: list[Any]) -> dict[str, Any]:
    return {resource.name: resource for resource in found if isinstance(resource, kind)}


def test_queues_of_tasks_are_declared_by_themselves_with_attempts_without_limit() -> None:
    queues = of_kind(CloudQueue, desired(make_app(target="https://r.example"), Deployment()))
    assert queues == {
        "shop-extract": CloudQueue(name="shop-extract", rate=500.0, concurrency=1000, max_attempts=-1),
        "shop-io": CloudQueue(name="shop-io", rate=500.0, concurrency=1000, max_attempts=-1),
    }


def test_each_band_of_priorities_is_a_queue() -> None:
    app = make_app(target="https://r.example", priority_bands=[5, 8])
    queues = of_kind(CloudQueue, desired(app, Deployment(queues={"io": Queue(rate=7, concurrency=3)})))
    assert [name for name in queues if "io" in name] == ["shop-io", "shop-io-p1", "shop-io-p2"]
    assert {(q.rate, q.concurrency) for name, q in queues.items() if "io" in name} == {(7.0, 3)}


def test_a_queue_dispatches_no_more_than_its_service_can_run() -> None:
    services = [extract(max_instances=10, concurrency=2), io(max_instances=1000, concurrency=80)]
    queues = of_kind(CloudQueue, desired(make_app(), Deployment(services=services), NUMBER))
    assert (queues["shop-extract"].concurrency, queues["shop-io"].concurrency) == (20, 5000)


def test_a_service_is_told_what_it_needs_to_enqueue() -> None:
    service = io(env={"TOKEN": Secret("token"), "HEADWAY_URL": "cloudtasks://other/place"})
    found = of_kind(CloudService, desired(make_app(), Deployment(services=[extract(), service]), NUMBER))
    env = found["io"].env
    assert env["TOKEN"] == EnvValue(secret="token", version="latest")
    assert env["HEADWAY_URL"].value == "cloudtasks://other/place"  # what is written has the last word
    assert found["extract"].env["HEADWAY_URL"].value == "cloudtasks://demo/europe-west1"
    settings = load_settings(environ={name: value.value for name, value in found["extract"].env.items()})
    assert settings.service_account == INVOKER
    assert settings.targets == {
        "extract": "https://extract-42.europe-west1.run.app",
        "io": "https://io-42.europe-west1.run.app",
    }


def test_copies_of_an_app_with_several_carriers_have_a_queue_and_a_receiver() -> None:
    """A route may copy jobs at any time, and Cloud Tasks makes no queue by itself."""
    carriers = {"main": "redis://:secret@redis", "push": "cloudtasks://demo/europe-west1"}
    app = make_app(url=None, carriers=carriers)
    assert needs_number(make_app(url=None, carriers=carriers, targets={"io": "https://io.example"}), BOTH)
    found, [copies] = desired(app, BOTH, NUMBER), queue_ids(app, "headway-shadows")
    assert set(of_kind(CloudQueue, found)) == {"shop-extract", "shop-io", copies}
    env = of_kind(CloudService, found)["io"].env
    assert "headway-shadows=https://extract-42.europe-west1.run.app" in env["HEADWAY_TARGETS"].value
    assert not [name for name, value in env.items() if name == "HEADWAY_URL" or "secret" in value.value]
    named = Deployment(services=[extract(), io(queues=["io", "headway-shadows"])])
    queues = of_kind(CloudQueue, desired(app, named, NUMBER))
    assert queues[copies].concurrency == queues["shop-io"].concurrency
    with pytest.raises(ConfigError, match="2 carriers at Google"):
        desired(
            make_app(url=None, carriers={**carriers, "other": "cloudtasks://demo/us-east1"}), BOTH, NUMBER
        )


def test_the_settings_have_the_first_say_about_targets() -> None:
    app = make_app(targets={"io": "https://io.example/jobs"})
    assert needs_number(app, BOTH)
    found = of_kind(CloudSchedule, desired(app, BOTH, NUMBER))
    assert found["shop-nightly"].url == "https://io.example/jobs"
    assert not needs_number(make_app(target="https://one.example"), BOTH)
    assert not needs_number(make_app(), Deployment())


def test_a_schedule_calls_the_receiver_of_its_queue_with_a_token() -> None:
    found = of_kind(CloudSchedule, desired(make_app(), BOTH, NUMBER))["shop-nightly"]
    assert (found.cron, found.timezone, found.schedule) == ("0 3 * * *", "Europe/Zurich", "nightly")
    assert found.url == found.audience == "https://io-42.europe-west1.run.app"
    assert (found.service_account, found.body) == (INVOKER, b'{"namespace":"shop","schedule":"nightly"}')
    assert found.headers == {"Content-Type": "application/vnd.headway.fire+json"}


def test_a_secret_signs_the_call_always_alike() -> None:
    app = make_app(push_secret="s3cret", service_account="", target="https://r.example")
    first, second = (of_kind(CloudSchedule, desired(app, Deployment()))["shop-nightly"] for _ in range(2))
    assert first == second
    assert first.headers["X-Headway-Signature"]
    assert "s3cret" not in repr(first)


def test_rights_that_are_needed_and_no_others() -> None:
    deployment = Deployment(
        services=[extract(service_account="heavy@demo.iam.gserviceaccount.com"), io()],
        enqueuers=["serviceAccount:web@demo.iam.gserviceaccount.com"],
    )
    found = desired(make_app(), deployment, NUMBER)
    bindings = {(b.target, b.role, b.member) for b in found if isinstance(b, CloudBinding)}
    who = [f"serviceAccount:{name}@demo.iam.gserviceaccount.com" for name in ("web", "heavy", "invoker")]
    account = f"projects/demo/serviceAccounts/{INVOKER}"
    services = "projects/demo/locations/europe-west1/services"
    assert bindings == {
        *(("projects/demo", "roles/cloudtasks.enqueuer", member) for member in who),
        *((account, "roles/iam.serviceAccountUser", member) for member in who),
        *((f"{services}/{name}", "roles/run.invoker", who[2]) for name in ("extract", "io")),
    }


def test_services_without_an_account_run_as_the_default_one_which_may_enqueue() -> None:
    app = make_app(service_account="", push_secret="s3cret", targets={"extract": "https://e.example", "io": "https://i.example"})  # fmt: skip
    assert needs_number(app, BOTH)
    found = desired(app, BOTH, NUMBER)
    default = "serviceAccount:42-compute@developer.gserviceaccount.com"
    assert [(b.target, b.role, b.member) for b in found if isinstance(b, CloudBinding)] == [
        ("projects/demo", "roles/cloudtasks.enqueuer", default)
    ]
    assert not any(isinstance(b, CloudBinding) for b in desired(app, BOTH))
    own = Deployment(services=[extract(service_account="a@b.iam.gserviceaccount.com"), io(service_account="a@b.iam.gserviceaccount.com")])  # fmt: skip
    assert not needs_number(app, own)


@pytest.mark.parametrize(
    ("account", "project"),
    [
        (INVOKER, "demo"),
        ("push@other-project.iam.gserviceaccount.com", "other-project"),
        ("push@shop.example.com.iam.gserviceaccount.com", "example.com:shop"),
        ("123-compute@developer.gserviceaccount.com", "123"),
        ("other@appspot.gserviceaccount.com", "other"),
        ("somebody@example.com", "demo"),
    ],
)
def test_an_account_is_looked_up_in_the_project_of_its_address(account: str, project: str) -> None:
    found = desired(make_app(service_account=account), BOTH, NUMBER)
    targets = {b.target for b in found if isinstance(b, CloudBinding) and b.role == "roles/iam.serviceAccountUser"}  # fmt: skip
    assert targets == {f"projects/{project}/serviceAccounts/{account}"}


def test_all_accounts_that_receivers_accept_may_call_and_tasks_are_made_as_the_first() -> None:
    second = "old@demo.iam.gserviceaccount.com"
    found = desired(make_app(service_account=f"{INVOKER},{second}"), BOTH, NUMBER)
    rights = [one for one in found if isinstance(one, CloudBinding)]
    callers = {b.member for b in rights if b.role == "roles/run.invoker"}
    assert callers == {f"serviceAccount:{INVOKER}", f"serviceAccount:{second}"}
    assert {b.target for b in rights if b.role == "roles/iam.serviceAccountUser"} == {
        f"projects/demo/serviceAccounts/{INVOKER}"
    }
    assert of_kind(CloudService, found)["io"].service_account == INVOKER
    assert of_kind(CloudSchedule, found)["shop-nightly"].service_account == INVOKER


def test_pubsub_itself_may_move_messages_to_the_dead_letter_topic() -> None:
    deployment = Deployment(
        topics=[Topic("uploads"), Topic("dead")],
        subscriptions=[Subscription("sub", "uploads", dead_letter="dead"), Subscription("other", "uploads")],
    )
    app = make_app(target="https://r.example")
    assert needs_number(app, deployment)
    found = desired(app, deployment, NUMBER)
    agent = "serviceAccount:service-42@gcp-sa-pubsub.iam.gserviceaccount.com"
    assert {(b.target, b.role, b.member) for b in found if isinstance(b, CloudBinding)} == {
        ("projects/demo/topics/dead", "roles/pubsub.publisher", agent),
        ("projects/demo/subscriptions/sub", "roles/pubsub.subscriber", agent),
    }


def test_operators_may_also_look_and_act() -> None:
    found = desired(make_app(target="https://r.example"), Deployment(operators=["group:ops@example.com"]))
    roles = {b.role for b in found if isinstance(b, CloudBinding) and b.member == "group:ops@example.com"}
    assert roles == {
        "roles/cloudtasks.enqueuer", "roles/cloudtasks.viewer", "roles/cloudtasks.taskDeleter",
        "roles/cloudtasks.taskRunner", "roles/cloudtasks.queueAdmin", "roles/iam.serviceAccountUser",
    }  # fmt: skip


def test_subscriptions_are_written_in_seconds() -> None:
    deployment = Deployment(
        topics=[Topic("uploads"), Topic("dead")],
        subscriptions=[Subscription("sub", "uploads", ack_deadline=60, dead_letter="dead", retention=timedelta(days=1))],
    )  # fmt: skip
    found = of_kind(CloudSubscription, desired(make_app(target="https://r.example"), deployment))["sub"]
    assert (found.ack_deadline_s, found.retention_s, found.dead_letter, found.max_deliveries) == (
        60,
        86400,
        "dead",
        5,
    )


@pytest.mark.parametrize(
    ("settings", "deployment", "said"),
    [
        ({"url": "redis://localhost"}, Deployment(), "cloudtasks://PROJECT/LOCATION"),
        (
            {},
            Deployment(project="other"),
            "the deployment's project is 'other', that of the app's url 'demo'",
        ),
        ({}, Deployment(location="us-east1"), "the deployment's location"),
        ({}, Deployment(), "schedule 'nightly': no receiver of queue 'io'"),
        ({}, Deployment(services=[io()]), "queue 'extract' is served by no service"),
        ({}, Deployment(services=[extract(), io(queues=["io", "i0"])]), "queue 'i0', which no task has"),
        ({}, Deployment(services=[extract(timeout=1800), io()]), "task 'extract' may run 3600 s"),
        ({"service_account": ""}, BOTH, "HEADWAY_SERVICE_ACCOUNT"),
    ],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], deployment: Deployment, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        desired(make_app(**settings), deployment, NUMBER)
    assert said in str(refused.value)


def test_a_schedule_that_cannot_be_expressed_is_refused() -> None:
    app = make_app(target="https://r.example")

    @app.every(timedelta(minutes=7), name="odd")
    @app.task(name="odd")
    async def odd() -> None: ...

    with pytest.raises(DeclarationError, match="schedule 'odd'"):
        desired(app, Deployment())


def test_the_place_is_that_of_the_url_and_its_emulator() -> None:
    place = place_of(
        make_app(url="cloudtasks://demo/europe-west1?emulator=127.0.0.1:8123"), Deployment(project="demo")
    )
    assert (place.project, place.location, place.emulator) == ("demo", "europe-west1", "127.0.0.1:8123")


@pytest.mark.parametrize("namespace", ["shop", "Shop", "shop.eu", "ländle", "x" * 200])
def test_marks_tell_apps_apart_and_are_what_labels_can_hold(namespace: str) -> None:
    label = label_of(namespace)
    assert len(label) <= 63
    assert label == label.lower()
    assert (label == namespace) == (namespace == "shop")
    assert schedule_of(namespace, description_of(namespace, "a: schedule b")) == "a: schedule b"
    assert schedule_of(f"{namespace}2", description_of(namespace, "nightly")) is None
    assert schedule_of(namespace, "made by hand") is None
