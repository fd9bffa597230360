"""What an update of a queue changes: a mask's fields and no others, and nothing becomes 0 because it was not set."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import tasks_v2
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.emulator.errors import ApiError, Code
from headway.emulator.masks import read_queue, snake
from headway.emulator.messages import queue_message
from headway.emulator.model import HttpTarget, Queue, QueueState, RateLimits, RetryConfig, UriOverride

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
NAME = "projects/p/locations/l/queues/q"
WAS = Queue(
    NAME,
    RateLimits(5, 7),
    RetryConfig(3, 60_000, 1000, 9000, 2),
    QueueState.PAUSED,
    HttpTarget(UriOverride(host="example.com"), "PUT", {"X-Own": "1"}),
    0.5,
    1234,
)


def queue(**fields: Any) -> object:
    return tasks_v2.Queue.pb(tasks_v2.Queue(name=NAME, **fields))


def test_what_is_not_set_gets_the_services_defaults() -> None:
    assert read_queue(queue()) == Queue(NAME, RateLimits(500, 1000), RetryConfig(100, 0, 100, 3_600_000, 16))


def test_an_update_without_a_mask_never_sets_a_limit_to_0() -> None:
    after = read_queue(queue(), was=WAS)
    assert after.rate == RateLimits()
    assert after.retry == RetryConfig()
    assert (after.state, after.purged_ms) == (QueueState.PAUSED, 1234)


@pytest.mark.parametrize(
    ("path", "fields", "changed"),
    [
        ("rate_limits.max_dispatches_per_second", {"rate_limits": {"max_dispatches_per_second": 9}}, {"rate": RateLimits(9, 7)}),
        ("rateLimits.maxDispatchesPerSecond", {"rate_limits": {"max_dispatches_per_second": 9}}, {"rate": RateLimits(9, 7)}),
        ("rate_limits", {"rate_limits": {"max_concurrent_dispatches": 9}}, {"rate": RateLimits(500, 9)}),
        ("rate_limits.max_concurrent_dispatches", {}, {"rate": RateLimits(5, 1000)}),
        ("retry_config.max_attempts", {"retry_config": {"max_attempts": -1, "max_doublings": 9}}, {"retry": RetryConfig(-1, 60_000, 1000, 9000, 2)}),
        ("retry_config.max_doublings", {"retry_config": {}}, {"retry": RetryConfig(3, 60_000, 1000, 9000, 0)}),
        ("http_target", {}, {"target": None}),
        ("stackdriver_logging_config", {"stackdriver_logging_config": {"sampling_ratio": 1}}, {"sampling_ratio": 1.0}),
        ("state", {"state": 1}, {}),
    ],
)  # fmt: skip
def test_a_mask_changes_its_field_and_no_other(
    path: str, fields: dict[str, object], changed: dict[str, object]
) -> None:
    after = read_queue(queue(**fields), was=WAS, mask=[path])
    for field in Queue.__struct_fields__:
        assert getattr(after, field) == changed.get(field, getattr(WAS, field)), field


def test_no_doublings_stay_none_when_a_mask_names_something_else() -> None:
    none = read_queue(queue(), was=WAS, mask=["retry_config.max_doublings"])
    assert read_queue(queue(), was=none, mask=["http_target"]).retry.max_doublings == 0


@pytest.mark.parametrize(
    "path", ["nothing", "rate_limits.nothing", "rate_limits.max_attempts", "", "app_engine_routing_override"]
)
def test_a_mask_that_names_no_field_is_refused(path: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_queue(queue(), was=WAS, mask=[path])
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_what_is_shown_can_be_read_back() -> None:
    again = read_queue(queue_message(WAS), was=WAS, mask=["rate_limits", "retry_config", "http_target"])
    assert again == WAS


@UNTIMED
@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_camel_case_comes_back_in_snake_case(words: list[str]) -> None:
    assert snake(words[0] + "".join(word.capitalize() for word in words[1:])) == "_".join(words)
    assert snake("_".join(words)) == "_".join(words)
