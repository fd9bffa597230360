"""Instants in what services take and return: always with a time zone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""An aware datetime; in JSON a text as in RFC 3339."""
