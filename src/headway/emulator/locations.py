"""The locations of a project: any may be used, those that hold something are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.emulator.names import check_location, short
from headway.emulator.wire import ListLocationsResponse, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headway.emulator.wire import Message


class Locations:
    """Answers clients that look for the location first, as gcloud does."""

    def __init__(self, used: Callable[[], Iterable[str]]) -> None:
        """`used` gives the names of queues, or of jobs: where they are there is a location."""
        self._used = used

    async def get_location(self, request: Message) -> Message:
        """Return a location, whichever it is."""
        return _location(check_location(request.name))

    async def list_locations(self, request: Message) -> Message:
        """List the locations in which the project has something."""
        prefix = f"{request.name}/locations/"
        names = {"/".join(name.split("/")[:4]) for name in self._used()}
        return ListLocationsResponse(
            locations=[_location(name) for name in sorted(names) if name.startswith(prefix)]
        )


def _location(name: str) -> Message:
    return Location(name=name, location_id=short(name), display_name=short(name))
