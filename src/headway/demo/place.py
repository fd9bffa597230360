"""Where a run of the demo keeps its jobs: a folder or a namespace of its own, removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.app.opening import broker_settings
from headway.brokers.base import BrokerSettings
from headway.config import load_settings
from headway.job import new_job_id

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


class Place(Struct, frozen=True):
    """A carrier's URL and what it is opened with."""

    url: str
    broker: BrokerSettings
    folder: Path


@contextmanager
def place(url: str | None, *, keep: bool) -> Generator[Place]:
    """Make a place, and let this process and its workers find it through their environment while it lasts.

    Without `url` it is a SQLite file in a temporary folder; `keep` leaves it there.
    """
    with own_folder(keep=keep and url is None) as folder:
        variables = {
            "HEADWAY_URL": url or f"sqlite:///{folder / 'demo.db'}",
            "HEADWAY_RECORD_EVENTS": "true",
        }
        with own_settings(folder, variables) as made:
            yield made


@contextmanager
def own_folder(*, keep: bool) -> Generator[Path]:
    """Make a folder for a run, and remove it afterwards unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="headway-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_settings(folder: Path, variables: Mapping[str, str]) -> Generator[Place]:
    """Let this process and those that it starts find these settings, and a namespace of their own, while it lasts."""
    config = folder / "headway.toml"
    config.touch()  # empty: neither the user's settings nor their variables are the demo's
    namespace = f"demo-{new_job_id()}"
    own = {
        **variables,
        "HEADWAY_NAMESPACE": namespace,
        "HEADWAY_CONFIG": str(config),
        # The worker that is killed is the point, not the warnings that its supervisor writes about it.
        "HEADWAY_LOG_LEVEL": os.environ.get("HEADWAY_LOG_LEVEL", "CRITICAL"),
    }
    before = {name: value for name, value in os.environ.items() if name.startswith("HEADWAY_")}
    for name in before:
        del os.environ[name]
    os.environ.update(own)
    try:
        settings = load_settings()
        yield Place(settings.url, broker_settings(namespace, settings), folder)
    finally:
        for name in own:
            os.environ.pop(name, None)
        os.environ.update(before)
