"""A clock that stands still until the test moves it."""

from __future__ import annotations

from datetime import timedelta

_DEFAULT_START_MS = 1_800_000_000_000  # 15 January 2027: a round number


class FakeClock:
    """A Clock for tests. Time passes only by `advance`; it never runs backwards."""

    def __init__(self, start_ms: int = _DEFAULT_START_MS) -> None:
        """Stand at `start_ms`, milliseconds since 1970 UTC."""
        self._now_ms = start_ms

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        return self._now_ms

    def elapsed_ms(self) -> int:
        """Return the time that has passed, by which leases end: that of the clock."""
        return self.now_ms()

    def advance(self, by: timedelta | int) -> int:
        """Let time pass: a timedelta or whole milliseconds, not negative (ValueError). Return the new instant."""
        step = by if isinstance(by, int) else by // timedelta(milliseconds=1)
        if step < 0:
            msg = f"FakeClock.advance: time does not run backwards, got {by!r}"
            raise ValueError(msg)
        self._now_ms += step
        return self._now_ms

    def __repr__(self) -> str:
        """Show the instant."""
        return f"FakeClock({self._now_ms})"
