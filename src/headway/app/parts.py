"""What handles and job records need of an open app, and no more: so that they know nothing of the app itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.portal import Portal
    from headway.brokers.base import Store
    from headway.codec import Call, Format
    from headway.offload.payloads import Offload


class Reader(Protocol):
    """Reads the calls and the results of one task."""

    @property
    def result_type(self) -> Any:  # noqa: ANN401 - any type
        """What its function returns."""
        ...

    def decode(self, call: Call, form: Format, /) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments as they were given; CodecError."""
        ...


class KnownTask(Protocol):
    """A declared task, to whoever reads its jobs."""

    @property
    def signature(self) -> Reader:
        """What reads them."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which they are found."""
        ...


class JobSource(Protocol):
    """An app, to whoever looks at its jobs."""

    @property
    def carrier(self) -> Store:
        """The carrier that is open on the running event loop."""
        ...

    @property
    def offload(self) -> Offload | None:
        """Where large payloads lie."""
        ...

    @property
    def portal(self) -> Portal:
        """The way from blocking code to the loop."""
        ...

    @property
    def known_tasks(self) -> Mapping[str, KnownTask]:
        """The tasks by their names and aliases."""
        ...
