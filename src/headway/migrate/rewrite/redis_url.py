"""arq's `RedisSettings(...)` as the source of a URL."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from headway.migrate.rewrite.constants import NotConstantError, constant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_IN_URL: Final = frozenset(
    {
        "host",
        "port",
        "database",
        "username",
        "password",
        "ssl",
        "sentinel",
        "sentinel_master",
        "unix_socket_path",
    }
)
_OWN_PATIENCE: Final = frozenset(
    {
        "conn_timeout",
        "conn_retries",
        "conn_retry_delay",
        "max_connections",
        "retry",
        "retry_on_timeout",
        "retry_on_error",
    }
)
_POSITIONS: Final = ("host", "port", "unix_socket_path", "database", "username", "password", "ssl")


class UrlSource(NamedTuple):
    """The source of an expression that is a URL. `quotes`: it calls urllib's `quote`. `left`: what is not in it."""

    text: str
    quotes: bool
    left: tuple[str, ...]


class NoUrlError(Exception):
    """The settings have no URL; the message says why."""


def of_call(call: ast.Call, text: Callable[[ast.expr], str]) -> UrlSource:
    """Return the URL of `RedisSettings(...)` or `RedisSettings.from_dsn(...)`; NoUrlError."""
    given = {one.arg: one.value for one in call.keywords if one.arg}
    if len(given) != len(call.keywords) or any(isinstance(one, ast.Starred) for one in call.args):
        msg = "its arguments are known only when the code runs"
        raise NoUrlError(msg)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "from_dsn":
        dsn = call.args[0] if call.args else given.get("dsn")
        if dsn is None:
            msg = "from_dsn has no argument"
            raise NoUrlError(msg)
        return UrlSource(text(dsn), quotes=False, left=())
    given = {**dict(zip(_POSITIONS, call.args, strict=False)), **given}
    return _built(given, text)


def _built(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str]) -> UrlSource:
    if "unix_socket_path" in given and text(given["unix_socket_path"]) != "None":
        msg = "Headway reaches Redis by TCP, not by a Unix socket"
        raise NoUrlError(msg)
    sentinel = "sentinel" in given and text(given["sentinel"]) != "False"
    pieces = [
        *_scheme(given, text, sentinel=sentinel),
        *_login(given, text),
        *(_sentinels(given, text) if sentinel else _host(given, text)),
        "/",
        *_piece(given.get("database"), "0", text),
    ]
    left = tuple(sorted(name for name in given if name not in _IN_URL | _OWN_PATIENCE))
    return UrlSource(_joined(pieces), any("quote(" in one for one in pieces), left)


def _scheme(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str], *, sentinel: bool) -> list[str]:
    rest = "+sentinel://" if sentinel else "://"
    tls = "False" if "ssl" not in given else text(given["ssl"])
    match tls:
        case "False":
            return [f"redis{rest}"]
        case "True":
            return [f"rediss{rest}"]
        case _:
            return ["redis", f"\0's' if {tls} else ''", rest]


def _login(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str]) -> list[str]:
    parts = {
        name: given[name]
        for name in ("username", "password")
        if name in given and text(given[name]) != "None"
    }
    if not parts:
        return []
    username, password = (_secret(parts.get(name), text) for name in ("username", "password"))
    return [*username, ":", *password, "@"]


def _secret(node: ast.expr | None, text: Callable[[ast.expr], str]) -> list[str]:
    if node is None:
        return []
    try:
        return [quote(str(constant(node)), safe="")]
    except NotConstantError:
        return [f"\0quote({text(node)} or '', safe='')"]


def _host(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str]) -> list[str]:
    if isinstance(given.get("host"), ast.List):
        msg = "it names several hosts without sentinel=True"
        raise NoUrlError(msg)
    return [*_piece(given.get("host"), "localhost", text), ":", *_piece(given.get("port"), "6379", text)]


def _sentinels(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str]) -> list[str]:
    try:
        hosts = constant(given["host"])
        pairs = [one for one in hosts if isinstance(one, list)] if isinstance(hosts, list) else []
        named = [":".join(map(str, one)) for one in pairs]
    except (NotConstantError, KeyError):
        msg = "its sentinels are known only when the code runs"
        raise NoUrlError(msg) from None
    return [",".join(named), "/", *_piece(given.get("sentinel_master"), "mymaster", text)]


def _piece(node: ast.expr | None, default: str, text: Callable[[ast.expr], str]) -> list[str]:
    """Return a part of the URL: a text, or an expression behind a NUL."""
    if node is None:
        return [default]
    try:
        value = constant(node)
    except NotConstantError:
        return [f"\0{text(node)}"]
    return [str(value)]


def _joined(pieces: list[str]) -> str:
    """Write the parts as one literal, f-string or call of `format`, whichever their quotes allow."""
    expressions = [one[1:] for one in pieces if one.startswith("\0")]
    texts = [one for one in pieces if not one.startswith("\0")]
    if not expressions:
        return _quoted("".join(texts))
    plain = all('"' not in one and "\\" not in one and "\n" not in one for one in (*expressions, *texts))
    if plain and not any("{" in one or "}" in one for one in (*expressions, *texts)):
        return 'f"' + "".join(f"{{{one[1:]}}}" if one.startswith("\0") else one for one in pieces) + '"'
    template = "".join(
        "{}" if one.startswith("\0") else one.replace("{", "{{").replace("}", "}}") for one in pieces
    )
    return f"{_quoted(template)}.format({', '.join(expressions)})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
