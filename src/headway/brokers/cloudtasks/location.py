"""The URL of a carrier: `cloudtasks://PROJECT/LOCATION?emulator=host:port&create_queues=1`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from headway.addresses import checked_address
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

EMULATOR_VARIABLE: Final = "CLOUD_TASKS_EMULATOR_HOST"

_FORM: Final = "cloudtasks://PROJECT/LOCATION"
_PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,98}[A-Za-z0-9]")
_PLACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):(\d{1,5})")
_MAX_PORT: Final = 65535
_OPTIONS: Final = ("create_queues", "emulator")
_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL: the project and the place in which the queues are, and who answers for them."""

    project: str
    place: str  # Google calls it the location, as in europe-west1
    emulator: str = ""  # host:port of gRPC without TLS; empty: Google
    create_queues: bool = False  # create a queue that is missing at the first job for it

    @property
    def name(self) -> str:
        """For messages."""
        return f"cloudtasks://{self.project}/{self.place}" + (
            f" (emulator at {self.emulator})" if self.emulator else ""
        )

    @property
    def path(self) -> str:
        """As the API writes it."""
        return f"projects/{self.project}/locations/{self.place}"

    def queue_path(self, queue: str) -> str:
        """Return a queue's name in the API."""
        return f"{self.path}/queues/{queue}"

    def task_path(self, queue: str, task: str) -> str:
        """Return a task's name in the API."""
        return f"{self.path}/queues/{queue}/tasks/{task}"


def parse(url: str, environ: Mapping[str, str] | None = None) -> Location:
    """Read a URL; ConfigError names the part that is wrong.

    CLOUD_TASKS_EMULATOR_HOST counts unless the URL names an emulator.
    """
    if "@" in url:
        checked_address(url, "Cloud Tasks URL")
    parts = urlsplit(url)
    if parts.scheme.lower() != "cloudtasks":
        msg = f"not a Cloud Tasks URL: scheme {parts.scheme!r}, expected {_FORM}"
        raise ConfigError(msg)
    project = parts.netloc
    if "@" in project:
        msg = f"{_FORM}: takes no user or password; the credentials are Google's default ones"
        raise ConfigError(msg)
    if not _PROJECT.fullmatch(project):
        msg = f"{_FORM}: PROJECT must be the id of a Google Cloud project, got {project!r}"
        raise ConfigError(msg)
    place, *rest = parts.path.removeprefix("/").split("/")
    if not _PLACE.fullmatch(place):
        msg = f"{_FORM}: LOCATION must be one such as europe-west1, got {place!r}"
        raise ConfigError(msg)
    if any(rest) or parts.fragment:
        msg = f"{_FORM}: nothing may follow LOCATION but options, got {'/'.join(rest) or '#' + parts.fragment!r}"
        raise ConfigError(msg)
    options = _options(parts.query)
    variable = (os.environ if environ is None else environ).get(EMULATOR_VARIABLE, "")
    if "emulator" in options:
        emulator = _host("option emulator", options["emulator"])
    else:
        emulator = _host(EMULATOR_VARIABLE, variable) if variable else ""
    create = _FLAGS[options["create_queues"]] if "create_queues" in options else bool(emulator)
    return Location(project, place, emulator, create)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            msg = f"{_FORM}: unknown option {key!r}; known are {', '.join(_OPTIONS)}"
            raise ConfigError(msg)
        options[key] = value
    if options.get("create_queues", "1") not in _FLAGS:
        msg = f"{_FORM}: option create_queues must be 1 or 0, got {options['create_queues']!r}"
        raise ConfigError(msg)
    return options


def _host(origin: str, text: str) -> str:
    match = _HOST.fullmatch(text.removeprefix("http://"))
    if match is None or not 0 < int(match[1]) <= _MAX_PORT:
        msg = f"{_FORM}: {origin} must be host:port, got {text!r}"
        raise ConfigError(msg)
    return match[0]
