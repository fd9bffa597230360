"""What an HTTP job can be asked, and the small parts of an attempt."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headway.http
from headway import Headway
from headway.errors import ArgumentsError, ConfigError, DeclarationError
from headway.http import HttpCall, HttpPolicy, call
from headway.httpjobs import TASK, HostLimit, HttpRefusedError, read_call
from headway.httpjobs.retrying import retry_after
from headway.httpjobs.secrets import Secrets, filled, hidden
from headway.httpjobs.signing import signed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli_shop import Shop

OK: dict[str, Any] = {"method": "GET", "url": "https://example.com/a?b=1"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "get"}, "method"),
        ({"method": "CONNECT"}, "method"),
        ({"method": "GET / HTTP/1.1\r\nX: 1"}, "method"),
        ({"headers": {"Host": "internal"}}, "not yours to set"),
        ({"headers": {"content-length": "1"}}, "not yours to set"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "not yours to set"),
        ({"headers": {"Upgrade": "h2c"}}, "not yours to set"),
        ({"headers": {"X\r\nY": "1"}}, "no name of a header"),
        ({"headers": {"": "1"}}, "no name of a header"),
        ({"headers": {"X": "1\r\nHost: a"}}, "line break"),
        ({"headers": {"X": "1\n"}}, "line break"),
        ({"headers": {"X": "\x00"}}, "line break"),
        ({"headers": {"X": "\u2603"}}, "line break"),
        ({"headers": {"X": "1", "x": "2"}}, "given twice"),
        ({"headers": {f"X{n}": "1" for n in range(65)}}, "at most 64"),
        ({"headers": {"Authorization": "Bearer abc"}}, "is a secret"),
        ({"headers": {"cookie": "sid=1"}}, "is a secret"),
        ({"body": "a", "json": 1}, "give one of"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 3601}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"expect": (99,)}, "no status"),
        ({"retry_statuses": (600,)}, "no status"),
        ({"expect": (200, 503)}, "status 503 cannot be both"),
        ({"attempts": 0}, "attempts"),
        ({"keep": -1}, "keep"),
        ({"keep": 2**21}, "keep"),
        ({"redirects": 11}, "redirects"),
        ({"sign": ("whsec_abc",)}, "by reference"),
        ({"sign": ("secret://../x",)}, "by reference"),
        ({"idempotency_header": "a b"}, "no name of a header"),
        ({"idempotency_header": "Host"}, "not yours to set"),
        ({"url": "https://example.com/?k=secret://CRM"}, "belongs in a header"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_made_and_where_it_is_read(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        HttpCall(**(OK | given))
    fields = {name: value for name, value in (OK | given).items() if value == value}  # noqa: PLR0124 - no NaN in JSON
    if len(fields) == len(OK | given):
        with pytest.raises(ArgumentsError, match=said):
            read_call(json.dumps(fields).encode())


def test_a_call_is_read_as_people_write_it() -> None:
    made = read_call(b'{"method": "POST", "url": "https://example.com", "json": {"a": [1]}, "timeout": 120}')
    assert made == HttpCall(method="POST", url="https://example.com", json={"a": [1]}, timeout=120)
    assert read_call(b'{"method": "PUT", "url": "http://a.example", "data": "AP8="}').data == b"\x00\xff"
    for wrong, said in (
        (b'{"method": "GET", "url": "https://a.example", "retries": 5}', "no such field: retries"),
        (b'{"method": "GET"}', "url"),
        (b'{"method": "GET", "url": 5}', "url"),
        (b"[]", "object"),
        (b"\xff", "."),
        (b"[" * 100_000, "."),
    ):
        with pytest.raises(ArgumentsError, match=said):
            read_call(wrong)


def test_a_call_of_a_later_version_is_read_by_an_earlier_worker() -> None:
    body = msgspec.msgpack.encode({**OK, "of_tomorrow": 1})
    assert msgspec.msgpack.decode(body, type=HttpCall) == HttpCall(**OK)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_whatever_is_sent_is_an_error_that_can_be_named(body: bytes) -> None:
    with pytest.raises(ArgumentsError):
        read_call(body)


def test_the_task_is_declared_once_in_an_app() -> None:
    app = Headway("hooks", url="sqlite:///unused.db")
    task = call(app, queue="hooks")
    assert (task.name, app.find_task(TASK), app.queues) == (TASK, task, ["hooks"])
    assert task.name == "headway.http.call"
    with pytest.raises(DeclarationError, match="declared twice"):
        call(app)
    made = task.job(HttpCall(**OK))
    assert made.new.queue == "hooks"
    wrong: Any = "https://example.com"
    with pytest.raises(ArgumentsError, match="argument 'request'"):
        task.job(wrong)
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = headway.http.nosuch


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("9" * 12, math.inf),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read(text: str, seconds: float | None) -> None:
    assert retry_after(text, now_s=100.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_is_an_error(text: str) -> None:
    wait = retry_after(text)
    assert wait is None or wait >= 0


def test_signatures_are_those_of_the_specification() -> None:
    """The example of the Standard Webhooks libraries."""
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    for wrong in ("whsec_not base64!", "short", "whsec_c2hvcnQ="):
        with pytest.raises(ValueError, match="a secret to sign with") as raised:
            signed("m", 1, b"", [wrong])
        assert wrong not in str(raised.value)


def test_secrets_are_looked_for_where_the_operator_puts_them(tmp_path: Any) -> None:
    (tmp_path / "from-file").write_text("value of a file\n")
    (tmp_path / "broken").write_text("two\nlines")
    secrets = Secrets(str(tmp_path), {"HEADWAY_SECRET_CRM_KEY": "value", "PATH": "/bin"})
    assert secrets.value("crm-key") == secrets.value("CRM.KEY") == "value"
    assert secrets.value("from-file") == "value of a file"
    for name in ("PATH", "nosuch", "broken"):
        with pytest.raises(HttpRefusedError, match=f"secret '{name}'") as raised:
            secrets.value(name)
        assert "lines" not in str(raised.value)
    assert filled("a secret://X b secret://Y", {"X": "1", "Y": "2"}) == "a 1 b 2"
    assert hidden("abcd abcdef", {"X": "abcd", "Y": "abcdef", "Z": "a"}) == "*** ***"


@pytest.mark.parametrize(
    "given", [{"limit": HostLimit(concurrency=0)}, {"limits": {"a": HostLimit(concurrency=10**6)}}, {"proxy": "socks5://a"}]
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="http policy"):
        HttpPolicy(**given)


HOOKS = """
from headway import Headway
from headway.http import call

app = Headway("hooks")
send = call(app)
"""


def test_a_shell_enqueues_and_schedules_them(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hooks_of_a_shell.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    target = ["--app", "hooks_of_a_shell:app"]
    given = json.dumps(OK)
    job = shop.ok("enqueue", "hooks_of_a_shell:app", TASK, given).strip()
    assert shop.json("jobs", "show", job, *target)["args"][0]["url"] == OK["url"]
    made = shop.json("schedules", "create", "ping", TASK, given, "--every", "5m", *target)
    assert made["args"][0]["method"] == "GET"
    result = shop.run("enqueue", "hooks_of_a_shell:app", TASK, json.dumps(OK | {"timeout": 4000}))
    assert (result.exit_code, "timeout must be 0.1 to 3600" in result.stderr) == (2, True)
