"""The form of an HTTP job: what was filled in, as a request, and what is wrong beside each field; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.errors import ConfigError
from headway.server.services.http_jobs import NewHttpJob, check_parts
from headway.settingtext import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
KINDS: Final = ("none", "text", "JSON")
"""What a body may be."""
NAMES: Final = ("method", "url", "headers", "kind", "body", "timeout", "attempts")
_USUAL: Final = NewHttpJob(method="POST", url="")


class HttpForm(Struct, frozen=True):
    """The texts of the fields."""

    method: str = "POST"
    url: str = ""
    headers: str = ""
    kind: str = "none"
    body: str = ""
    timeout: str = ""
    attempts: str = ""


def form_of(fields: Mapping[str, str]) -> HttpForm:
    """Return the form as it was sent."""
    return HttpForm(**{name: fields[name] for name in NAMES if fields.get(name)})


def form_like(call: Mapping[str, Any]) -> HttpForm:
    """Return the form of another job's request, as far as a form can hold it."""
    headers: Mapping[str, str] = call.get("headers") or {}
    timeout = call.get("timeout", _USUAL.timeout)
    kind, body = "none", ""
    if isinstance(call.get("body"), str):
        kind, body = "text", call["body"]
    elif call.get("json") is not None:
        kind, body = "JSON", json.dumps(call["json"], ensure_ascii=False, indent=2)
    return HttpForm(
        method=str(call.get("method", "POST")),
        url=str(call.get("url", "")),
        headers="\n".join(f"{name}: {value}" for name, value in headers.items()),
        kind=kind,
        body=body,
        timeout="" if timeout == _USUAL.timeout else f"{timeout:g}s",
        attempts="" if call.get("attempts") is None else str(call["attempts"]),
    )


def read(form: HttpForm) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a request is made of, and what is wrong by the name of the field."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    readers: dict[str, Callable[[], dict[str, Any]]] = {
        "method": lambda: {"method": form.method},
        "url": lambda: {"url": form.url},
        "headers": lambda: {"headers": _headers(form.headers)} if form.headers.strip() else {},
        "body": lambda: _body(form),
        "timeout": lambda: {"timeout": parse_duration(form.timeout, "timeout")} if form.timeout else {},
        "attempts": lambda: {"attempts": _whole(form.attempts)} if form.attempts else {},
    }
    for name, reader in readers.items():
        try:
            found = reader()
            check_parts(found)
        except (ConfigError, ValueError, OverflowError, RecursionError) as error:
            wrong[name] = str(error) or "cannot be read"
        else:
            values |= found
    return values, wrong


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            msg = f"line {number}: must be a name, a colon and a value, such as Accept: application/json"
            raise ValueError(msg)
        if name.strip().lower() in (one.lower() for one in found):
            msg = f"line {number}: {name.strip()[:60]} is there already"
            raise ValueError(msg)
        found[name.strip()] = value.strip()
    return found


def _body(form: HttpForm) -> dict[str, Any]:
    match form.kind:
        case "none" if form.body.strip():
            msg = "say what the body is: text or JSON"
            raise ValueError(msg)
        case "none":
            return {}
        case "text":
            return {"body": form.body}
        case "JSON":
            return {"json": _json(form.body)}
        case _:
            msg = "must be none, text or JSON"
            raise ValueError(msg)


def _json(text: str) -> Any:  # noqa: ANN401 - any value
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        msg = f"is no JSON: {error}"
        raise ValueError(msg) from error
    if value is None:
        msg = "is null: that is no body"
        raise ValueError(msg)
    return value


def _refuse(name: str) -> None:
    msg = f"{name} is no value of JSON"
    raise ValueError(msg)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):  # noqa: PLR2004 - far beyond what is allowed
        msg = f"attempts must be a whole number, got {text[:20]!r}"
        raise ValueError(msg)
    return int(text)
