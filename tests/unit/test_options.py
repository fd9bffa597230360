"""Options of tasks and jobs: what is taken, what overrides what, and how a wrong one is named."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from headway import Headway, Unique
from headway.app.options import JobOptions, job_options
from headway.clock import to_ms
from headway.codec import decode_call
from headway.errors import ArgumentsError, DeclarationError
from headway.names import checked_name
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

CLOCK = FakeClock(1_000_000)
app = Headway("options", clock=CLOCK)


@app.task(name="plain")
async def plain(n: int) -> int:
    return n


@app.task(name="picky", queue="slow", priority=9, expires=60, timeout=2.5, unique=Unique())
def picky(n: int) -> int:
    return n


@app.task(name="urgent", priority=8)
def urgent(n: int) -> int:
    return n


def test_a_job_takes_what_its_task_declares() -> None:
    job = picky.job(1).new
    assert (job.queue, job.priority, job.due_ms, job.expires_ms) == ("slow", 9, None, 1_060_000)
    assert job.unique is not None
    assert picky.options_declared.timeout_ms == 2500


def test_options_override_the_declaration() -> None:
    job = (
        picky.options(queue="fast", priority=0, expires=timedelta(seconds=5), key="k", unique=None).job(1).new
    )
    assert (job.queue, job.priority, job.expires_ms, job.key) == ("fast", 0, 1_005_000, "k")
    assert job.unique is None
    assert plain.options(unique=Unique("debounce")).job(1).new.unique is not None


def test_headers_and_timeout_travel_in_the_payload() -> None:
    call, _ = decode_call(plain.options(headers={"tenant": "a"}, timeout=1.5).job(1).new.payload)
    assert (call.headers, call.timeout_ms) == ({"tenant": "a"}, 1500)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "priority": st.integers(0, 9),
            "queue": st.sampled_from(["a", "b"]),
            "key": st.just("k"),
            "headers": st.just({"tenant": "a"}),
            "timeout": st.just(5),
            "expires": st.just(60),
            "unique": st.sampled_from([None, Unique("debounce")]),
        },
    ),
    st.sampled_from([{}, {"delay": 0}, {"delay": 60}, {"at": datetime(2030, 1, 1, tzinfo=UTC)}]),
)
def test_whatever_the_options_a_call_makes_the_job_that_its_task_would(
    options: dict[str, Any], due: dict[str, Any]
) -> None:
    """A plain job is made on a shorter way."""
    for task in (plain, picky, urgent):
        made = task.options(**options, **due).job(1).new
        expected = task.new_job(job_options(**options, **due), (1,), {})
        assert structs.replace(made, id=expected.id) == expected


@pytest.mark.parametrize("delay", [60, 60.0, timedelta(minutes=1)])
def test_delay_counts_from_the_clock_and_expiry_from_the_due_time(delay: Any) -> None:
    job = plain.options(delay=delay, expires=10).job(1).new
    assert (job.due_ms, job.expires_ms) == (1_060_000, 1_070_000)


def test_at_is_an_instant_whatever_its_zone() -> None:
    noon = datetime(2027, 1, 1, 12, tzinfo=UTC)
    for at in (noon, noon.astimezone(timezone(timedelta(hours=-9)))):
        assert plain.options(at=at).job(1).new.due_ms == to_ms(noon)


def test_an_instant_in_the_past_is_due_now() -> None:
    assert plain.options(at=datetime(1969, 1, 1, tzinfo=UTC), expires=1).job(1).new.due_ms is not None


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: job_options(delay=1, at=datetime.now(UTC)), "either delay or at"),
        (lambda: job_options(at=datetime(2027, 1, 1)), "options: at: .*no time zone"),  # noqa: DTZ001 - the mistake
        (lambda: job_options(at="tomorrow"), "options: at must be an aware datetime"),  # type: ignore[arg-type]
        (lambda: job_options(delay=-1), "delay must not be negative"),
        (lambda: job_options(delay="1 hour"), "delay must be a timedelta, a number of seconds, or a text"),
        (lambda: job_options(delay=math.nan), "delay must be"),
        (lambda: job_options(delay=math.inf), "delay must be"),
        (lambda: job_options(delay=1e300), "delay must be"),
        (lambda: job_options(expires=1e17), "expires must be"),
        (lambda: job_options(timeout=0), "timeout must be positive"),
        (lambda: job_options(expires=0), "expires must be positive"),
        (lambda: job_options(priority=10), "priority must be a whole number from 0"),
        (lambda: job_options(priority=-1), "priority must be"),
        (lambda: job_options(priority=True), "priority must be"),
        (lambda: job_options(priority=1.0), "priority must be"),  # type: ignore[arg-type]
        (lambda: job_options(key=""), "key must be a text of 1 to 500"),
        (lambda: job_options(key="x" * 501), "key must be"),
        (lambda: job_options(key=3), "key must be"),  # type: ignore[arg-type]
        (lambda: job_options(queue="a,b"), "queue name 'a,b'"),
        (lambda: job_options(queue=""), "queue name ''"),
        (lambda: job_options(headers={"a": 1}), "header 'a'"),  # type: ignore[dict-item]
        (lambda: job_options(headers={1: "a"}), "header 1"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_option_of_a_job_is_an_arguments_error_that_names_it(
    call: Callable[[], JobOptions], told: str
) -> None:
    with pytest.raises(ArgumentsError, match=told):
        call()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "task 't': .*timeout must be positive"),
        ({"timeout": "1 hour"}, "task 't': timeout must be a timedelta, a number of seconds, or a text"),
        ({"expires": -1}, "task 't': .*expires must be positive"),
        ({"priority": 10}, "priority must be a whole number"),
        ({"queue": "a{b"}, "queue name"),
        ({"name": " t"}, "task name ' t'"),
        ({"run_in": "async"}, "needs an async def"),
    ],
)
def test_a_wrong_option_of_a_task_is_a_declaration_error_that_names_it(
    options: dict[str, Any], told: str
) -> None:
    given: dict[str, Any] = {"name": "t"} | options
    with pytest.raises(DeclarationError, match=told):
        Headway("x").task(**given)(lambda: None)


def test_what_cannot_be_a_task_is_refused_at_once() -> None:
    other = Headway("x")

    def generator() -> Any:
        yield

    async def handler() -> None: ...

    with pytest.raises(DeclarationError, match="generator"):
        other.task(generator)
    with pytest.raises(DeclarationError, match="goes on a function"):
        other.task(Headway)
    with pytest.raises(DeclarationError, match="run_in='thread' is for def"):
        other.task(run_in="thread")(handler)
    other.task(name="same")(handler)
    with pytest.raises(DeclarationError, match="'same' is declared twice"):
        other.task(name="same")(handler)
    with pytest.raises(DeclarationError, match=r"above @app\.task"):
        other.cron("* * * * *")(handler)  # type: ignore[type-var]


@pytest.mark.parametrize("name", ["a", "shop.jobs.send", "späße", "a b", "x" * 200, "a:b/c#d"])
def test_names_that_every_carrier_can_hold(name: str) -> None:
    assert checked_name("queue", name) == name


@given(
    st.text(max_size=5).filter(
        lambda name: any(c in name for c in ",{}\x00\n\r\t\x7f") or not name or name[0].isspace()
    )
)
def test_names_that_no_carrier_need_hold(name: str) -> None:
    with pytest.raises(DeclarationError, match="queue name"):
        checked_name("queue", name)


def test_a_name_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(DeclarationError, match="task name"):
        checked_name("task", "\ud800")
    with pytest.raises(ArgumentsError, match="key"):
        job_options(key="\ud800")
    with pytest.raises(ArgumentsError, match="queue"):
        job_options(queue="\ud800")
