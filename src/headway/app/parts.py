"""The little that handles and job records need of an open app, so that they need not import the app."""

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
        """The type that its function returns."""
        ...

    def decode(self, call: Call, form: Format, /) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments as they were given; CodecError."""
        ...


class KnownTask(Protocol):
    """A declared task, as its jobs are read."""

    @property
    def signature(self) -> Reader:
        """What decodes its calls and results."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which they are found."""
        ...


class JobSource(Protocol):
    """An app, as its jobs are looked up."""

    @property
    def carrier(self) -> Store:
        """The carrier that is open on the running event loop."""
        ...

    @property
    def offload(self) -> Offload | None:
        """Where large payloads are stored."""
        ...

    @property
    def portal(self) -> Portal:
        """Runs coroutines for blocking code."""
        ...

    @property
    def known_tasks(self) -> Mapping[str, KnownTask]:
        """The tasks by their names and aliases."""
        ...
