from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headway.gcp.diff import Create, Delete, Keep, Plan, Replace, Update, diff
from headway.gcp.resources import (
    CloudBinding,
    CloudQueue,
    CloudSchedule,
    CloudService,
    CloudSubscription,
    CloudTopic,
    EnvValue,
    Key,
    Kind,
    Resource,
    Seen,
    key_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(1, 3)
RESOURCES: st.SearchStrategy[Resource] = st.one_of(
    st.builds(CloudTopic, name=NAMES, retention_s=st.none() | SMALL),
    st.builds(CloudSubscription, name=NAMES, topic=NAMES, ack_deadline_s=SMALL, ordered=st.booleans()),
    st.builds(
        CloudService,
        name=NAMES,
        image=NAMES,
        max_instances=SMALL,
        env=st.dictionaries(NAMES, st.builds(EnvValue, NAMES), max_size=2),
    ),
    st.builds(CloudBinding, target=NAMES, role=NAMES, member=NAMES),
    st.builds(CloudQueue, name=NAMES, rate=SMALL.map(float), concurrency=SMALL),
    st.builds(
        CloudSchedule,
        name=NAMES,
        schedule=NAMES,
        cron=NAMES,
        timezone=NAMES,
        url=NAMES,
        body=st.just(b""),
        headers=st.just({}),
    ),
)
STATES = st.lists(RESOURCES, max_size=8, unique_by=key_of)


def carried_out(plan: Plan, actual: Iterable[Resource]) -> list[Resource]:
    there: dict[Key, Resource] = {key_of(resource): resource for resource in actual}
    for step in plan.steps:
        key = key_of(step.resource)
        match step:
            case Create():
                assert key not in there
                there[key] = step.resource
            case Update() | Replace():
                assert key in there
                there[key] = step.resource
            case Delete():
                del there[key]
            case Keep():
                assert key in there
    return list(there.values())


def seen(resources: Iterable[Resource], *, busy: bool = False) -> list[Seen]:
    return [Seen(resource, busy=busy) for resource in resources]


@given(STATES, STATES, st.booleans(), st.booleans())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    wanted: list[Resource], actual: list[Resource], busy: bool, force: bool
) -> None:
    plan = diff(wanted, seen(actual, busy=busy), force=force)
    after = carried_out(plan, actual)
    assert not diff(wanted, seen(after, busy=busy), force=force).pending
    assert {key_of(resource): resource for resource in wanted}.items() <= {
        key_of(resource): resource for resource in after
    }.items()


@given(STATES, STATES)
def test_what_is_as_wanted_is_not_touched(wanted: list[Resource], actual: list[Resource]) -> None:
    plan = diff(wanted, seen(actual))
    for step in plan.pending:
        assert isinstance(step, Delete) or step.resource not in actual
    assert not diff(actual, seen(actual)).pending


@given(STATES, STATES)
def test_what_others_need_comes_first_and_goes_last(wanted: list[Resource], actual: list[Resource]) -> None:
    ranks = list(Kind)
    plan = diff(wanted, seen(actual))
    made = [ranks.index(step.resource.kind) for step in plan.steps if isinstance(step, Create)]
    gone = [ranks.index(step.resource.kind) for step in plan.steps if isinstance(step, Delete)]
    assert made == sorted(made)
    assert gone == sorted(gone, reverse=True)


def test_a_change_names_the_field_and_both_values() -> None:
    was, wanted = CloudQueue(name="shop-mail", rate=5.0), CloudQueue(name="shop-mail", rate=500.0)
    (step,) = diff([wanted], seen([was])).steps
    assert isinstance(step, Update)
    assert [(one.field, one.before, one.after) for one in step.changes] == [("rate", "5", "500")]


def test_values_of_the_environment_and_signatures_are_never_shown() -> None:
    service = CloudService(name="io", image="i", env={"A": EnvValue("hunter2"), "B": EnvValue("same")})
    changed = replace(service, env={"A": EnvValue("hunter3"), "B": EnvValue("same"), "C": EnvValue(secret="s", version="1")})  # fmt: skip
    plan = diff([changed], seen([service]))
    (step,) = plan.steps
    assert isinstance(step, Update)
    assert [one.field for one in step.changes] == ["env.A", "env.C"]
    assert "hunter" not in repr(plan)
    fire = CloudSchedule(name="n", schedule="n", cron="* * * * *", timezone="UTC", url="u", body=b"b", headers={"X-Headway-Signature": "hunter2"})  # fmt: skip
    plan = diff([replace(fire, headers={})], seen([fire]))
    assert isinstance(plan.steps[0], Update)
    assert "hunter" not in repr(plan)
    assert "hunter" not in repr(diff([fire], []))


def test_what_cannot_be_changed_is_replaced() -> None:
    was = CloudSubscription(name="s", topic="a", ack_deadline_s=10)
    assert isinstance(diff([replace(was, topic="b")], seen([was])).steps[0], Replace)
    assert isinstance(diff([replace(was, ack_deadline_s=20)], seen([was])).steps[0], Update)


def test_a_queue_in_which_jobs_wait_is_only_deleted_by_force() -> None:
    queue = CloudQueue(name="shop-mail")
    (kept,) = diff([], seen([queue], busy=True)).steps
    assert isinstance(kept, Keep)
    assert "jobs wait" in kept.reason
    assert diff([], seen([queue])).destructive == (Delete(queue),)
    assert diff([], seen([queue], busy=True), force=True).destructive == (Delete(queue),)


def test_a_queue_that_headway_did_not_make_is_never_deleted() -> None:
    queue = CloudQueue(name="shop-legacy", max_attempts=100)
    for force in (False, True):
        (kept,) = diff([], [Seen(queue, foreign=True)], force=force).steps
        assert isinstance(kept, Keep)
        assert "not made by Headway: left alone" in kept.reason


def test_the_mark_of_a_queue_is_its_retry_configuration() -> None:
    assert CloudQueue(name="shop-mail", rate=3.0, concurrency=7).is_marked
    google = {"max_attempts": 100, "min_backoff_ms": 100, "max_backoff_ms": 3_600_000, "max_doublings": 16}
    for field, value in {**google, "max_retry_ms": 1000}.items():
        assert not replace(CloudQueue(name="shop-mail"), **{field: value}).is_marked


def test_bindings_are_never_taken_away() -> None:
    binding = CloudBinding(target="projects/demo", role="r", member="m")
    assert not diff([], seen([binding]), force=True).pending
