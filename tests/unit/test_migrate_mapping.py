"""Maps: which of their jobs becomes which of ours, with which arguments, priority, attempts and key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from headway import Headway, Retry
from headway.codec import decode_call, decode_history
from headway.errors import ConfigError
from headway.job import PRIORITY_MAX, PRIORITY_MIN, id_instant_ms, is_job_id, mark_of
from headway.migrate.deciding import Deciding, Intent, Left, Refused, decode_intent, encode_intent
from headway.migrate.found import FoundJob, FoundState
from headway.migrate.ids import entry_id, job_id
from headway.migrate.mapfile import parse_map, read_map
from headway.migrate.mapping import Mapped, default_priority

if TYPE_CHECKING:
    from pathlib import Path

    from headway.migrate.source import Source


class _Named:
    """As much of a source as makes names."""

    kind = "bullmq"
    identity = "bull"


def _app() -> Headway:
    app = Headway("shop", url="sqlite:///nowhere.db")

    @app.task(name="mail", queue="mails", retry=Retry(max_attempts=6), priority=5)
    async def mail(to: str, subject: str = "", *, copy: bool = False) -> None: ...

    @app.task(name="report")
    async def report(document: dict[str, Any]) -> None: ...

    return app


def _found(**changes: Any) -> FoundJob:
    job = FoundJob(
        source_id="17", queue="emails", state=FoundState.WAITING, instant_ms=1_700_000_000_000, name="send"
    )
    return structs.replace(job, **changes)


def _decided(rules: dict[str, Any], **changes: Any) -> Intent | Left | Refused:
    return Deciding(_app(), parse_map(rules)).decide(_found(**changes))


def _kwargs(decided: Intent | Left | Refused) -> dict[str, Any]:
    assert isinstance(decided, Intent), decided
    call, _ = decode_call(decided.payload)
    return {name: msgspec.msgpack.decode(raw) for name, raw in call.kwargs.items()}


SEND = {"name": "send", "task": "mail", "arguments": "fields"}


def test_fields_become_keyword_arguments() -> None:
    decided = _decided({"job": [SEND]}, args=({"to": "a@b.example", "subject": "é"},))
    assert _kwargs(decided) == {"to": "a@b.example", "subject": "é"}
    assert isinstance(decided, Intent)
    assert (decided.task, decided.queue, decided.priority, decided.attempt) == ("mail", "mails", 5, 0)


def test_renamed_dropped_and_constant() -> None:
    rule = {**SEND, "rename": {"recipient": "to"}, "drop": ["traceId"], "constant": {"copy": True}}
    decided = _decided({"job": [rule]}, args=({"recipient": "x", "traceId": 1},))
    assert _kwargs(decided) == {"to": "x", "copy": True}


def test_the_whole_document_as_one() -> None:
    rule = {"name": "*", "queue": "em*", "task": "report", "arguments": "data"}
    decided = _decided({"job": [rule]}, args=({"any": [1]},))
    assert isinstance(decided, Intent)
    assert decided.task == "report"


def test_a_call_as_it_is() -> None:
    decided = _decided({"job": [{"name": "send", "task": "mail"}]}, args=("x",), kwargs={"copy": True})
    assert isinstance(decided, Intent)


def test_the_first_rule_that_fits_decides_and_a_name_may_stand_for_the_task() -> None:
    rules = [{"name": "no*"}, {"name": "*", "queue": "emails", "task": "{name}"}]
    assert isinstance(_decided({"job": rules}, name="nothing"), Left)
    assert isinstance(_decided({"job": rules}, name="mail", args=("x",)), Intent)
    assert isinstance(_decided({"job": rules}, name="mail", queue="other", args=("x",)), Left)


@pytest.mark.parametrize(
    ("rule", "changes", "said"),
    [
        (SEND, {"args": ({"to": 5},)}, "'to'"),
        (SEND, {"args": ({"to": "x", "nosuch": 1},)}, "no parameter 'nosuch'"),
        (SEND, {"args": ({},)}, "'to' is missing"),
        (SEND, {"args": ([1],)}, "has no fields"),
        (SEND, {"args": ("x", "y")}, "no single document"),
        ({**SEND, "task": "nosuch"}, {"args": ({"to": "x"},)}, "has no task 'nosuch'"),
        ({**SEND, "rename": {"to": "subject"}}, {"args": ({"to": "x", "subject": "y"},)}, "already"),
        ({**SEND, "attempts": 3}, {"args": ({"to": "x"},), "attempts_made": 3}, "used up its 3 attempts"),
        (SEND, {"args": ({"to": "x"},), "key": "k" * 501}, "cannot be a key"),
        (SEND, {"refusal": "too large"}, "too large"),
        (SEND, {"args": ({"to": "x" * 300_000},)}, "payload_limit"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    rule: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    decided = _decided({"job": [rule]}, **changes)
    assert isinstance(decided, Refused), decided
    assert re.search(said, decided.why), decided.why


@pytest.mark.parametrize(
    "state", [FoundState.ACTIVE, FoundState.PARENT, FoundState.COMPLETED, FoundState.FAILED]
)
def test_what_runs_or_has_ended_is_left(state: FoundState) -> None:
    assert isinstance(_decided({"job": [SEND]}, state=state, args=({"to": "x"},)), Left)
    assert isinstance(_decided({"job": [SEND]}, schedule="every", args=({"to": "x"},)), Left)


def test_failed_ones_are_run_anew_with_their_reasons_when_asked_for() -> None:
    deciding = Deciding(_app(), parse_map({"job": [SEND]}), failed=True)
    decided = deciding.decide(
        _found(
            state=FoundState.FAILED,
            args=({"to": "x"},),
            attempts_made=3,
            attempts_allowed=3,
            reasons=("one", "two \x1b[2J"),
        )
    )
    assert isinstance(decided, Intent)
    assert decided.attempt == 0
    assert [one.message for one in decode_history(decided.history)] == ["one", "two \x1b[2J"]


@pytest.mark.parametrize(
    ("made", "allowed", "attempt"), [(0, 3, 3), (1, 3, 4), (2, 3, 5), (0, 10, 0), (4, None, 4), (9, None, 5)]
)
def test_as_many_attempts_are_left_as_there(made: int, allowed: int | None, attempt: int) -> None:
    decided = _decided({"job": [SEND]}, args=({"to": "x"},), attempts_made=made, attempts_allowed=allowed)
    assert isinstance(decided, Intent)
    assert decided.attempt == attempt  # of 6 that the task has


def test_an_id_that_was_given_becomes_the_key_unless_it_is_not_wanted() -> None:
    args = ({"to": "x"},)
    decided = _decided({"job": [SEND]}, args=args, key="user:1 é")
    assert isinstance(decided, Intent)
    assert decided.key == "user:1 é"
    decided = _decided({"job": [{**SEND, "ids": "none"}]}, args=args, key="user:1")
    assert isinstance(decided, Intent)
    assert decided.key is None


def test_due_times_expiry_and_queues() -> None:
    args, at = ({"to": "x"},), 1_700_000_123_456
    decided = _decided({"job": [SEND], "queues": {"emails": "late"}}, args=args, due_ms=at, expires_ms=at + 5)
    assert isinstance(decided, Intent)
    assert (decided.due_ms, decided.expires_ms, decided.queue) == (at, at + 5, "late")
    assert decode_intent(encode_intent(decided)) == decided
    decided = _decided({"job": [SEND], "expires": "drop"}, args=args, expires_ms=at)
    assert isinstance(decided, Intent)
    assert decided.expires_ms is None


def test_priorities_of_the_map() -> None:
    rules = {"job": [SEND], "priorities": {"10": 8, "1000": 2}}
    for theirs, ours in ((0, 5), (1, 8), (10, 8), (11, 2), (5000, 5)):
        decided = _decided(rules, args=({"to": "x"},), priority=theirs)
        assert isinstance(decided, Intent)
        assert decided.priority == ours
    decided = _decided({"job": [SEND], "priorities": {"0": 9}}, args=({"to": "x"},))
    assert isinstance(decided, Intent)
    assert decided.priority == 9


@given(st.integers(0, 2**21), st.integers(0, 2**21), st.integers(PRIORITY_MIN, PRIORITY_MAX))
def test_the_order_of_two_priorities_is_never_turned_round(one: int, other: int, declared: int) -> None:
    low, high = sorted((one, other))
    first, second = default_priority(low, declared), default_priority(high, declared)
    assert PRIORITY_MIN <= second <= first <= PRIORITY_MAX
    assert default_priority(0, declared) == declared


def test_a_function_in_place_of_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_map.py").write_text(
        "from headway.migrate.mapping import Mapped\n"
        "def convert(job):\n"
        "    if job.name == 'bad': raise KeyError('x')\n"
        "    if job.name == 'odd': return 5\n"
        "    return Mapped('mail', (job.args[0]['to'],), priority=1) if job.name == 'send' else None\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    deciding = Deciding(_app(), read_map("own_map:convert"))
    decided = deciding.decide(_found(args=({"to": "x"},)))
    assert isinstance(decided, Intent)
    assert decided.priority == 1
    assert isinstance(deciding.decide(_found(name="else")), Left)
    for name, said in (("bad", "KeyError"), ("odd", "int")):
        refused = deciding.decide(_found(name=name))
        assert isinstance(refused, Refused)
        assert said in refused.why
    assert Mapped("mail") == Mapped("mail")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"jobs": []}, "jobs"),
        ({"job": [{"name": 5}]}, "str"),
        ({"job": [{"arguments": "all"}]}, "all"),
        ({"job": [{"priority": 12}]}, "priority"),
        ({"job": [{"attempts": 0}]}, "attempts"),
        ({"priorities": {"x": 1}}, "'x'"),
        ({"queues": {"a": "b,c"}}, "queue"),
        ({"job": [{"function": "nosuch_module:f"}]}, "nosuch_module"),
        ({"job": [{"function": "os:path", "task": "x"}]}, "leave the others out"),
    ],
)
def test_a_wrong_map_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_map(fields)


def test_a_map_that_is_not_there_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_map(str(tmp_path / "nosuch.toml"))
    (tmp_path / "map.toml").write_text("= [", encoding="utf-8")
    with pytest.raises(ConfigError, match="no TOML"):
        read_map(str(tmp_path / "map.toml"))


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 2**47))
def test_names_follow_from_the_place_and_carry_its_instant(queue: str, source_id: str, at: int) -> None:
    source: Source = _Named()  # type: ignore[assignment]
    job = _found(queue=queue, source_id=source_id, instant_ms=at)
    name = entry_id(source, job)
    assert name == entry_id(source, job)
    assert name != entry_id(source, job, 1)
    first = job_id(name, 0, "main")
    assert is_job_id(first)
    assert first[-1] == mark_of("main")
    assert first[:-1] == job_id(name, 0, "push")[:-1]
    assert job_id(name, 1, "main")[:-1] != first[:-1]  # each life has an id of its own
    assert id_instant_ms(first) == id_instant_ms(job_id(name, 3, "main")) == at
