"""Pages: how many entries, behind which cursor, and the link to the next one (RFC 8288)."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta

MOST: Final = 1000
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=MOST, description="How many at most.")]
After: TypeAlias = Annotated[
    str, Meta(max_length=2000, description="The cursor of the page before.", min_length=1)
]


def next_link(url: str, cursor: str | None) -> dict[str, str]:
    """Return the header that leads to the next page, if there is one. `url` is the path and query of this page."""
    if cursor is None:
        return {}
    path, _, query = url.partition("?")
    pairs = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "after"]
    return {"link": f'<{path}?{urlencode([*pairs, ("after", cursor)])}>; rel="next"'}
