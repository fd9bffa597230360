"""Tools for tests of applications that use Headway."""

from __future__ import annotations

from headway.testing.clock import FakeClock

__all__ = ["FakeClock"]
