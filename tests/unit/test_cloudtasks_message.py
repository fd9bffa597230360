"""The body of a task: what is written is read again, and nothing else is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.brokers.cloudtasks.message import VERSION, decode, encode, refusal
from headway.errors import CodecError
from headway.guards.document import PushedJob
from headway.job import Fire, JobId, NewJob, new_job_id

_names = st.from_regex(r"\A[^\s,{}\x00-\x1f\x7f\ud800-\udfff][^,{}\x00-\x1f\x7f\ud800-\udfff]{0,50}\Z")
_instants = st.one_of(st.none(), st.integers(0, 2**53))
_queues = _names.filter(lambda name: not name.startswith(":"))
_keys = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=500),
)
_jobs = st.builds(
    NewJob,
    id=st.builds(new_job_id),
    task=_names,
    queue=_queues,
    payload=st.binary(max_size=200),
    priority=st.integers(0, 9),
    due_ms=_instants,
    expires_ms=_instants,
    key=_keys,
    fire=st.one_of(st.none(), st.builds(Fire, _names, st.integers(0, 2**53))),
)


def _job() -> NewJob:
    return NewJob(id=new_job_id(), task="shop.pay", queue="mail", payload=b"\x10\x90")


@given(_names, _jobs, st.integers(0, 2**31))
def test_what_is_written_is_read_again(namespace: str, job: NewJob, turn: int) -> None:
    assert decode(encode(namespace, PushedJob(job, turn))) == (namespace, PushedJob(job, turn))


_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=210)


@given(_any_text, _any_text, st.one_of(st.none(), _any_text))
def test_what_is_not_refused_can_be_read(task: str, queue: str, key: str | None) -> None:
    """A job that was accepted and cannot be read would end in the dead-letter state."""
    job = msgspec.structs.replace(_job(), task=task, queue=queue, key=key)
    if refusal(job) is None:
        assert decode(encode("shop", PushedJob(job, 0)))[1].job == job
    else:
        with pytest.raises(CodecError):
            decode(encode("shop", PushedJob(job, 0)))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_one_error(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode(body)


@given(st.data())
def test_damaged_bodies_are_refused_or_read_as_a_job(data: st.DataObject) -> None:
    body = bytearray(encode("shop", PushedJob(_job(), 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        namespace, pushed = decode(bytes(body))
    except CodecError:
        return
    assert encode(namespace, pushed)


@given(st.data())
def test_truncated_bodies_are_refused(data: st.DataObject) -> None:
    body = encode("shop", PushedJob(_job(), 1))
    with pytest.raises(CodecError):
        decode(body[: data.draw(st.integers(0, len(body) - 1))])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (1, ""),
        (1, "nul\x00"),
        (2, "no-id"),
        (2, "!" * 20),
        (3, "x" * 201),
        (4, ":jobs"),
        (5, "text"),
        (6, -1),
        (7, 10),
        (7, True),
        (8, -5),
        (8, 2**60),
        (10, ""),
        (10, "k" * 501),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(place: int, value: object) -> None:
    fields = msgspec.msgpack.decode(encode("shop", PushedJob(_job(), 0)))
    fields[place] = value
    with pytest.raises(CodecError, match="damaged"):
        decode(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("body", [[VERSION + 1, {"any": "form"}], [VERSION + 1]])
def test_a_newer_version_is_named(body: list[object]) -> None:
    with pytest.raises(CodecError, match=f"version {VERSION + 1}"):
        decode(msgspec.msgpack.encode(body))


def test_a_newer_version_of_the_same_form_is_refused_as_well() -> None:
    fields = msgspec.msgpack.decode(encode("shop", PushedJob(_job(), 0)))
    fields[0] = VERSION + 1
    with pytest.raises(CodecError, match=f"version {VERSION + 1}"):
        decode(msgspec.msgpack.encode(fields))


def test_fields_that_a_later_headway_appends_are_passed_over() -> None:
    pushed = PushedJob(_job(), 0)
    fields = msgspec.msgpack.decode(encode("shop", pushed))
    assert decode(msgspec.msgpack.encode([*fields, "new"])) == ("shop", pushed)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(CodecError):
        decode(b"\x91" * 100_000)


def test_an_id_of_another_form_is_not_let_in() -> None:
    job = msgspec.structs.replace(_job(), id=JobId("x" * 20 + "\n"))
    with pytest.raises(CodecError):
        decode(encode("shop", PushedJob(job, 0)))
