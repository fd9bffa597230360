"""Unique keys: equal calls meet, different ones do not, whatever process makes them."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import Headway, Unique
from headway.errors import DeclarationError, SerialisationError
from headway.job import UniqueMode

if TYPE_CHECKING:
    from headway.app.task import Task

app = Headway("unique")


def declared(unique: Unique, name: str) -> Task[Any, Any]:
    @app.task(name=name, unique=unique)
    def handler(a: Any, b: Any = 2, *more: Any, c: Any = 3, **rest: Any) -> None: ...

    return handler


every = declared(Unique(), "every")


@app.task(name="typed", unique=Unique())
def typed(a: set[int | str], b: Any = 2) -> None: ...


by_a = declared(Unique(by=["a"]), "by_a")
other = declared(Unique(by=["a"]), "other")
fixed = declared(Unique(by="all of it"), "fixed")
computed = declared(Unique(by=lambda a, *_, **__: str(a)[:1]), "computed")


def key(task: Task[Any, Any], *args: Any, **kwargs: Any) -> str:
    lock = task.job(*args, **kwargs).new.unique
    assert lock is not None
    return lock.key


def test_it_does_not_matter_how_an_argument_was_given() -> None:
    assert key(every, 1) == key(every, a=1) == key(every, 1, 2) == key(every, 1, b=2, c=3)
    assert key(every, 1, x=1, y=2) == key(every, 1, y=2, x=1)
    assert key(every, {"x": 1, "y": 2}) == key(every, {"y": 2, "x": 1})
    assert key(typed, {1, 2, 3}) == key(typed, {3, 2, 1})


def test_different_calls_and_different_tasks_do_not_meet() -> None:
    keys = [
        key(every, 1),
        key(every, 2),
        key(every, 1, 3),
        key(every, "1"),
        key(every, 1, c=4),
        key(every, 1, x=1),
        key(every, 1, 2, 3),
        key(by_a, 1),
        key(other, 1),
    ]
    assert len(set(keys)) == len(keys)


@settings(deadline=None)
@given(
    *[
        st.lists(
            st.one_of(st.integers(), st.text(max_size=3), st.none(), st.booleans()).filter(
                lambda v: type(v) is not int or abs(v) < 2**63
            ),
            min_size=1,
            max_size=4,
        )
    ]
    * 2
)
def test_keys_are_equal_exactly_when_the_arguments_are(one: list[Any], two: list[Any]) -> None:
    def full(args: list[Any]) -> list[tuple[type, Any]]:
        return [(type(value), value) for value in (args if len(args) > 1 else [*args, 2])]

    assert (key(every, *one) == key(every, *two)) == (full(one) == full(two))


def test_the_key_is_made_of_what_by_says() -> None:
    assert key(by_a, 1, 5) == key(by_a, 1, 6) != key(by_a, 2, 5)
    assert key(fixed, 1) == key(fixed, 2) == "fixed:all of it"
    assert key(computed, "abc") == key(computed, "axe") == "computed:a"
    with pytest.raises(SerialisationError, match="must return a text, got ''"):
        key(computed, "")


class Model:
    """A model without a repr of its own: that of object holds its address."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, fields: dict[str, int]) -> Model:
        return cls(fields["n"])

    def model_dump(self, *, mode: str) -> dict[str, int]:
        return {"n": self.n}


@app.task(name="modelled", unique=Unique())
def modelled(model: Model) -> None: ...


def test_models_are_told_apart_by_their_fields() -> None:
    assert key(modelled, Model(1)) == key(modelled, Model(1)) != key(modelled, Model(2))


def test_another_process_makes_the_same_key() -> None:
    script = (
        "from headway import Headway, Unique\n"
        "app = Headway('unique')\n"
        "@app.task(name='typed', unique=Unique())\n"
        "def handler(a: set[int | str], b=2): ...\n"
        "print(handler.job({'x', 'y'}, b={'k': 1, 'j': [2.5, None]}).new.unique.key)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == key(typed, {"x", "y"}, b={"j": [2.5, None], "k": 1})


def test_the_mode_and_the_window_travel_with_the_key() -> None:
    throttled = declared(Unique("throttle", window=timedelta(minutes=1)), "throttled").job(1).new.unique
    assert throttled is not None
    assert (throttled.mode, throttled.window_ms) == (UniqueMode.THROTTLE, 60_000)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mode": "often"}, "mode must be one of reject, throttle, debounce, keep_last; got 'often'"),
        ({"mode": "throttle"}, "window"),
        ({"window": 5}, "window"),
        ({"mode": "throttle", "window": 0}, "positive"),
    ],
)
def test_a_wrong_declaration_says_what_is_wrong(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Unique(**wrong)


def test_names_that_are_no_parameters_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"task 'misnamed'.*'z', which is no parameter"):
        declared(Unique(by=["z"]), "misnamed")
