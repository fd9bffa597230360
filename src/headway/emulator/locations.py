"""The locations of a project: any may be used, those that hold a queue are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.emulator.names import check_location, location_of, short
from headway.emulator.wire import ListLocationsResponse, Location

if TYPE_CHECKING:
    from headway.emulator.store import Store
    from headway.emulator.wire import Message


class Locations:
    """Answers clients that look for the location first, as gcloud does."""

    def __init__(self, store: Store) -> None:
        """The queues of the store tell which locations there are."""
        self._store = store

    async def get_location(self, request: Message) -> Message:
        """Return a location, whichever it is."""
        return _location(check_location(request.name))

    async def list_locations(self, request: Message) -> Message:
        """List the locations in which the project has a queue."""
        prefix = f"{request.name}/locations/"
        names = {location_of(queue.name) for queue in self._store.queues()}
        return ListLocationsResponse(
            locations=[_location(name) for name in sorted(names) if name.startswith(prefix)]
        )


def _location(name: str) -> Message:
    return Location(name=name, location_id=short(name), display_name=short(name))
