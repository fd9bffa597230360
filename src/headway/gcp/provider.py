"""What is asked of each service of Google Cloud, and of a fake of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.resources import Resource, Seen

R_contra = TypeVar("R_contra", bound="Resource", contravariant=True)


class Provider(Protocol[R_contra]):
    """Keeps the resources of one kind. Raises CloudError from each call."""

    async def read(self, wanted: Sequence[R_contra]) -> list[Seen]:
        """Return those of the app that are there; `wanted` are those that it declares."""
        ...

    async def create(self, resource: R_contra) -> None:
        """Create; AlreadyThereError when there is one of that name."""
        ...

    async def update(self, resource: R_contra) -> None:
        """Change what is there into this, and nothing that Headway has no say in."""
        ...

    async def delete(self, resource: R_contra) -> None:
        """Delete; NotThereError when it is not there."""
        ...


class Guarded(Protocol[R_contra]):
    """Keeps resources that may hold what must not be lost with them."""

    async def in_use(self, resource: R_contra) -> bool:
        """Tell whether it holds something at this moment."""
        ...


class Pausable(Protocol):
    """Keeps resources that can be stopped for a while."""

    async def pause(self, name: str) -> None:
        """Stop it."""
        ...

    async def resume(self, name: str) -> None:
        """Let it go on."""
        ...
