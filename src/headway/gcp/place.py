"""Where a deployment is."""

from __future__ import annotations

from msgspec import Struct


class Place(Struct, frozen=True):
    """A project, a location, and an emulator's host:port if Google is not meant."""

    project: str
    location: str
    emulator: str = ""

    @property
    def path(self) -> str:
        """As the APIs write it."""
        return f"projects/{self.project}/locations/{self.location}"
