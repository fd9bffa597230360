"""What a server answers that is no success."""

from __future__ import annotations

from typing import Any

from headway.errors import HeadwayError


class ApiError(HeadwayError):
    """The server refused. `kind` is a word for programs, such as `unknown-task`; `detail` says it to people."""

    def __init__(self, status: int, kind: str, detail: str, problem: dict[str, Any] | None = None) -> None:
        """Keep the parts; `problem` is the whole document."""
        super().__init__(f"{status} {kind}: {detail}" if detail else f"{status} {kind}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.problem = problem or {}


class ApiUnavailableError(ApiError, ConnectionError):
    """The server cannot be reached, or cannot do its work now; the call may or may not have been applied."""
