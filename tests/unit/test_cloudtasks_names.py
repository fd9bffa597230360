"""Ids of queues and tasks: valid for Cloud Tasks, never shared, read back where they are readable."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.brokers.cloudtasks.api.names import id_prefix, is_readable, queue_id, queue_of, task_id

_VALID = re.compile(r"[A-Za-z0-9-]{1,100}")
# Small alphabets: names that nearly meet are likely.
_near = st.text(alphabet="ab-p1.0", min_size=1, max_size=12)
_names = st.one_of(_near, st.text(min_size=1, max_size=200))
_bands = st.integers(0, 10)


@pytest.mark.parametrize(
    ("namespace", "queue", "band", "expected"),
    [
        ("shop", "mail", 0, "shop-mail"),
        ("shop", "mail", 2, "shop-mail-p2"),
        ("my-shop", "mail", 0, "my-shop-mail"),
        ("Shop9", "Q1", 0, "Shop9-Q1"),
    ],
)
def test_plain_names_stay_readable(namespace: str, queue: str, band: int, expected: str) -> None:
    assert queue_id(namespace, queue, band) == expected
    assert queue_of(namespace, expected) == (queue, band)


@pytest.mark.parametrize(
    ("namespace", "queue"),
    [
        ("my", "shop-mail"),
        ("shop", "p1"),
        ("shop", "deadbeef"),
        ("shop", "mail.eu"),
        ("shop", "größe"),
        ("shop-", "mail"),
        ("-", "-"),
        ("shop", "q" * 200),
        ("s" * 200, "mail"),
    ],
)
def test_other_names_carry_a_hash(namespace: str, queue: str) -> None:
    made = queue_id(namespace, queue)
    assert _VALID.fullmatch(made)
    assert re.search(r"-[0-9a-f]{8}$", made)
    assert not is_readable(namespace, queue)
    assert queue_of(namespace, made) is None


@given(_names, _names, _bands)
def test_every_id_is_valid_and_begins_with_the_prefix(namespace: str, queue: str, band: int) -> None:
    made = queue_id(namespace, queue, band)
    assert _VALID.fullmatch(made)
    assert made.startswith(id_prefix(namespace))
    if is_readable(namespace, queue):
        assert queue_of(namespace, made) == (queue, band)
    else:
        assert queue_of(namespace, made) is None


@given(st.tuples(_near, _near, _bands), st.tuples(_near, _near, _bands))
def test_two_queues_never_share_an_id(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    assert (queue_id(*one) == queue_id(*other)) == (one == other)


@given(_near, _names, _names)
def test_a_foreign_id_is_not_taken_for_ones_own(namespace: str, other: str, queue: str) -> None:
    if namespace != other:
        assert queue_of(namespace, queue_id(other, queue)) is None


def test_task_ids_are_hashes_of_app_job_and_turn() -> None:
    made = {task_id(namespace, job, turn) for namespace in "ab" for job in ("j1", "j2") for turn in (0, 1)}
    assert len(made) == 8
    assert all(re.fullmatch(r"[0-9a-f]{32}", name) for name in made)
    assert task_id("a", "j1", 0) == task_id("a", "j1", 0)
