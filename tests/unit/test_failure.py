"""What is written down of failures stays bounded, whatever handlers raise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.codec import decode_history, encode_history
from headway.job import AttemptError, Delivery, JobId, Lease, WorkerId
from headway.runtime.failure import error_of, with_error
from headway.text import storable


def delivery(history: bytes = b"") -> Delivery:
    return Delivery(Lease(JobId("0" * 20), WorkerId("w"), 1), "t", "q", b"", 5, 1, 0, history=history)


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - with a traceback
    except BaseException as caught:  # noqa: BLE001 - that is what is looked at
        return caught


def test_messages_and_tracebacks_are_bounded_and_keep_the_cause() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    error = error_of(1, 0, caught.value)
    assert len(error.message) <= 2000
    assert len(error.traceback) <= 8000
    assert error_of(1, 0, raised(KeyError("the cause"))).traceback.rstrip().endswith("KeyError: 'the cause'")


def test_the_first_error_and_the_latest_are_kept() -> None:
    history = b""
    for attempt in range(1, 31):
        history = with_error(delivery(history), AttemptError(attempt, 0, "E"))
    assert [error.attempt for error in decode_history(history)] == [1, *range(22, 31)]


def test_the_type_is_the_qualified_name() -> None:
    class Own(Exception): ...  # noqa: N818

    assert error_of(1, 0, ValueError()).type == "ValueError"
    assert error_of(1, 0, Own()).type.endswith(
        "test_failure.test_the_type_is_the_qualified_name.<locals>.Own"
    )


def test_values_of_local_variables_are_not_written_down() -> None:
    def handler(password: str) -> None:
        raise RuntimeError(len(password))

    with pytest.raises(RuntimeError) as caught:
        handler("hunter" + "2")
    assert "hunter2" not in error_of(1, 0, caught.value).traceback


class Broken(Exception):  # noqa: N818
    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)


class NoText(Exception):  # noqa: N818
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]  # noqa: PLE0307 - the case


@pytest.mark.parametrize("kind", [Broken, NoText])
def test_an_exception_without_a_text_is_written_down_all_the_same(kind: type[Exception]) -> None:
    error = error_of(1, 0, raised(kind()))
    assert "its text cannot be made" in error.message
    assert kind.__name__ in error.type


def test_groups_and_causes_are_in_the_traceback() -> None:
    group = raised(ExceptionGroup("several", [ValueError("one"), KeyError("two")]))
    group.__cause__ = OSError("before")
    trace = error_of(1, 0, group).traceback
    assert all(word in trace for word in ("one", "two", "before"))


@settings(deadline=None)
@given(st.text(st.characters(), max_size=50), st.integers(0, 30))
def test_every_text_can_be_stored(text: str, limit: int) -> None:
    stored = storable(text, limit)
    stored.encode()
    assert len(stored) <= limit
    assert decode_history(encode_history([error_of(1, 0, ValueError(text))]))[0].type == "ValueError"
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert stored == text[:limit]
