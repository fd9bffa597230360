"""Routes as people write them: in `headway.toml`, as arguments of an app, and on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, cast

from headway.errors import ConfigError, DeclarationError
from headway.names import checked_name
from headway.routing.routes import HEADER, PLACES, Route, route_of
from headway.routing.shadow import Shadow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

BY: Final = "by"
SHADOW: Final = "shadow"
"""The keys of a route's table that are no carriers, so that no carrier can be called so."""
MAX_CARRIER: Final = 32
"""Characters of a carrier's name."""
_CARRIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HEADER_NAME: Final = re.compile(r"[!-~]{1,100}")
_FORMS: Final = "the name of a carrier, or weights such as { main = 90, push = 10 }"


def checked_carrier(name: object, what: str) -> str:
    """Return the name of a carrier when routes and command lines can hold it; ConfigError begins with `what`."""
    if not isinstance(name, str) or len(name) > MAX_CARRIER or not _CARRIER.fullmatch(name):
        msg = f"{what}: a carrier's name has 1 to {MAX_CARRIER} letters, digits, - and _, got {name!r}"
        raise ConfigError(msg)
    if name in {BY, SHADOW}:
        msg = f"{what}: a carrier cannot be called {name!r}: in a route that says something else"
        raise ConfigError(msg)
    return name


def parse_routes(routes: object, carriers: Collection[str], what: str = "routes") -> dict[str, Route]:
    """Read the table of routes by queue; ConfigError names the route and says what to write."""
    if not isinstance(routes, Mapping):
        msg = f"{what}: must be a table of queues, each with {_FORMS}; got {routes!r}"
        raise ConfigError(msg)
    read: dict[str, Route] = {}
    for queue, value in cast("Mapping[str, object]", routes).items():
        read[queue] = parse_route(queue, value, carriers, f"{what}.{queue}")
    return read


def parse_route(queue: str, value: object, carriers: Collection[str], what: str = "") -> Route:
    """Read one route: `"push"`, `{ main = 90, push = 10 }` or `{ main = 90, push = 10, by = "header:tenant" }`.

    `carriers` are the names that the app knows. ConfigError begins with `what` (`routes.QUEUE` when empty).
    """
    what = what or f"routes.{queue}"
    try:
        checked_name("queue", queue)
    except DeclarationError as error:
        msg = f"{what}: {error}"
        raise ConfigError(msg) from error
    if isinstance(value, str):
        return route_of(queue, {_known(value, carriers, what): PLACES})
    if not isinstance(value, Mapping):
        msg = f"{what}: must be {_FORMS}; got {value!r}"
        raise ConfigError(msg)
    table = dict(cast("Mapping[str, object]", value))
    by = _by(table.pop(BY), what) if BY in table else ""
    if SHADOW in table:
        parse_shadow(table.pop(SHADOW), carriers, f"{what}.{SHADOW}")
    return route_of(queue, checked_weights(table, carriers, what), by)


def parse_shadows(routes: object, carriers: Collection[str]) -> dict[str, Shadow]:
    """Read what of each queue is copied to another carrier, from routes that `parse_routes` takes."""
    found: dict[str, Shadow] = {}
    for queue, value in cast("Mapping[str, object]", routes).items():
        if isinstance(value, Mapping) and SHADOW in value:
            given = cast("Mapping[str, object]", value)[SHADOW]
            found[queue] = parse_shadow(given, carriers, f"routes.{queue}.{SHADOW}")
    return found


def parse_shadow(value: object, carriers: Collection[str], what: str) -> Shadow:
    """Read `push=5`: so many percent are copied to that carrier; ConfigError begins with `what`."""
    name, equals, text = value.partition("=") if isinstance(value, str) else ("", "", "")
    percent = text.removesuffix("%")
    if not equals or not (percent.isascii() and percent.isdecimal() and int(percent) <= PLACES):
        msg = f"{what}: must be a carrier and the whole percentage that is copied there, such as push=5; got {value!r}"
        raise ConfigError(msg)
    return Shadow(_known(name, carriers, what), int(percent))


def parse_weights(words: Iterable[str], carriers: Collection[str], what: str) -> dict[str, int]:
    """Read `main=75 push=25`, as the command line has it; one name alone means all. ConfigError begins with `what`."""
    table: dict[str, object] = {}
    given = list(words)
    if len(given) == 1 and "=" not in given[0]:
        return {_known(given[0], carriers, what): PLACES}
    for word in given:
        name, equals, text = word.partition("=")
        percent = text.removesuffix("%")
        if not equals or not (percent.isascii() and percent.isdecimal()):
            msg = f"{what}: {word!r} must be a carrier and its percentage, such as push=25"
            raise ConfigError(msg)
        if name in table:
            msg = f"{what}: {name} is given twice"
            raise ConfigError(msg)
        table[name] = int(percent)
    return checked_weights(table, carriers, what)


def checked_weights(table: Mapping[str, object], carriers: Collection[str], what: str) -> dict[str, int]:
    """Return weights of known carriers, whole percent, that add up to 100; ConfigError begins with `what`."""
    weights: dict[str, int] = {}
    for name, percent in table.items():
        _known(name, carriers, what)
        if type(percent) is not int or not 0 <= percent <= PLACES:  # and no bool
            msg = f"{what}.{name}: must be a whole number of percent from 0 to 100, got {percent!r}"
            raise ConfigError(msg)
        weights[name] = percent
    total = sum(weights.values())
    if total != PLACES:
        listed = ", ".join(f"{name} {percent}" for name, percent in weights.items()) or "none is given"
        msg = f"{what}: the weights add up to {total} percent ({listed}), not to 100"
        raise ConfigError(msg)
    return weights


def _known(name: object, carriers: Collection[str], what: str) -> str:
    if isinstance(name, str) and name in carriers:
        return name
    close = get_close_matches(name, carriers, n=1) if isinstance(name, str) else []
    hint = f": do you mean {close[0]!r}?" if close else ""
    msg = f"{what}: there is no carrier {name!r}; the carriers are {', '.join(carriers)}{hint}"
    raise ConfigError(msg)


def _by(by: object, what: str) -> str:
    if not isinstance(by, str) or not by.startswith(HEADER) or not _HEADER_NAME.fullmatch(by[len(HEADER) :]):
        msg = f'{what}.by: must be "header:" and the name of a header, such as "header:tenant"; got {by!r}'
        raise ConfigError(msg)
    return by
