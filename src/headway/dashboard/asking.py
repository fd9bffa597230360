"""A request, as pages and acts see it; and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from msgspec import Struct

from headway.errors import ConfigError
from headway.job import JobState
from headway.server.services.problems import InvalidError
from headway.settingtext import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headway.dashboard.rendering import Frame, Pages
    from headway.server.access.caller import Caller, Role
    from headway.server.services.app_services import AppServices


class Done(Struct, frozen=True):
    """What an act came to: said to whoever asked, who then sees the page at `go`, or the one that they were on."""

    said: str
    go: str = ""


class Shown(Struct, frozen=True):
    """An act that is answered with a page of its own: a form to be mended, or a secret that is shown this once."""

    page: str
    status: int = 200


class Asked(NamedTuple):
    """One request: where from, by whom, with what. `path` has the parts of the path that the table names."""

    services: AppServices
    pages: Pages
    caller: Caller
    frame: Frame
    path: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    form: Mapping[str, tuple[str, ...]]

    @property
    def now_ms(self) -> int:
        """The present instant."""
        return self.services.app.clock.now_ms()

    def may(self, role: Role) -> bool:
        """Tell whether whoever asks may do what needs this role."""
        return self.caller.role.includes(role)

    def one(self, name: str, default: str = "") -> str:
        """Return a parameter of the query, without blanks around it."""
        return next(iter(self.query.get(name, ())), default).strip()

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter of the query that say something."""
        return tuple(one.strip() for one in self.query.get(name, ()) if one.strip())

    def field(self, name: str, default: str = "") -> str:
        """Return a field of the form, without blanks around it."""
        return next(iter(self.form.get(name, ())), default).strip()

    def fields(self, name: str) -> tuple[str, ...]:
        """Return all values of a field of the form."""
        return tuple(self.form.get(name, ()))

    def needed(self, name: str) -> str:
        """Return a field that must be filled in; InvalidError."""
        value = self.field(name)
        if not value:
            msg = f"{name}: must be filled in"
            raise InvalidError(msg)
        return value

    def duration_ms(self, name: str) -> int | None:
        """Return a field that is a duration, such as `10m`; None when it is empty. InvalidError."""
        return _duration_ms(self.field(name), name)

    def within_ms(self, name: str) -> int | None:
        """Return a parameter of the query that is a duration; None when it is empty. InvalidError."""
        return _duration_ms(self.one(name), name)

    def link(self, **changed: str | None) -> str:
        """Return the query of this page with some parameters changed; None takes one away."""
        kept = {name: values for name, values in self.query.items() if name not in changed}
        added = {name: (value,) for name, value in changed.items() if value is not None}
        return f"?{urlencode({**kept, **added}, doseq=True)}"

    def render(self, name: str, title: str, **values: object) -> str:
        """Return a page."""
        return self.pages.render(name, self.frame, title=title, link=self.link, **values)


def _duration_ms(text: str, name: str) -> int | None:
    if not text:
        return None
    try:
        return round(parse_duration(text, name) * 1000)
    except (ConfigError, ValueError, OverflowError) as error:
        raise InvalidError(str(error)) from error


def states_of(words: Iterable[str]) -> tuple[JobState, ...]:
    """Return the states that are named; what is none is passed over."""
    known = {str(one): one for one in JobState}
    return tuple(known[word] for word in words if word in known)
