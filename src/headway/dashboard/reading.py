"""What is read of a request before anything else is known of it; all of it is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_MOST_FORM: Final = 40_000_000  # bytes: arguments of a job can be pasted


async def form_of(request: Request) -> dict[str, tuple[str, ...]]:
    """Return the fields of a form; InvalidError when it is larger than any of ours."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM:
            msg = f"the form is larger than {_MOST_FORM:,} bytes"
            raise InvalidError(msg)
    return fields_of(bytes(body).decode(errors="replace"), 5000)


def fields_of(text: str, most: int) -> dict[str, tuple[str, ...]]:
    """Return what a form or a query says, each name with its values; InvalidError when there are more than `most`."""
    try:
        parsed = parse_qs(text, keep_blank_values=True, max_num_fields=most)
    except ValueError as error:
        msg = f"there are more than {most} fields"
        raise InvalidError(msg) from error
    return {name: tuple(values) for name, values in parsed.items()}


def first_of(form: Mapping[str, tuple[str, ...]], name: str) -> str:
    """Return the first value of a field; empty when there is none."""
    return next(iter(form.get(name, ())), "")


def path_of(request: Request) -> str:
    """Return the path as it was sent: a name may hold a slash, so the parts are told apart before they are decoded."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def address_of(request: Request) -> str:
    """Return where a request comes from; empty where nobody knows."""
    return request.client.host if request.client is not None else ""


def wants_data(request: Request) -> bool:
    """Tell whether the script asks, rather than a browser that shows what it gets."""
    return "application/json" in request.headers.get("accept", "")


def is_part(request: Request) -> bool:
    """Tell whether the script asks for a part of a page that is shown already."""
    return "headway-part" in request.headers


def page_before(request: Request, base: str) -> str:
    """Return the page that a form was on, if it was one of ours."""
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc != request.headers.get("host", "") or not referer.path.startswith(f"{base}/"):
        return f"{base}/"
    return referer.path + (f"?{referer.query}" if referer.query else "")
