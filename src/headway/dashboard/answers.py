"""What is sent: pages with a strict policy, assets that may be kept for ever, cookies that no script reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from headway.dashboard.rendering import ASSETS, KINDS, asset_path

if TYPE_CHECKING:
    from starlette.requests import Request

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, nothing inline, nothing evaluated, and no page of ours inside another's."""

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
}
_YEAR: Final = 31_536_000


def page(text: str, status: int = 200) -> Response:
    """Return a page, which nobody keeps."""
    return HTMLResponse(text, status, {**HEADERS, "cache-control": "no-store"})


def told(values: dict[str, object], status: int = 200) -> Response:
    """Return an answer to the script."""
    return JSONResponse(values, status, {**HEADERS, "cache-control": "no-store"})


def to(path: str) -> Response:
    """Send the browser to another page."""
    return RedirectResponse(path, 303, {**HEADERS, "cache-control": "no-store"})


def asset(digest: str, name: str) -> Response:
    """Return an asset, for ever where it is asked for by what is in it."""
    file = ASSETS / name
    kind = KINDS.get(file.suffix.removeprefix("."))
    if kind is None or file.name != name or not file.is_file():
        return Response(
            "there is no such file\n", 404, {**HEADERS, "cache-control": "no-store"}, "text/plain"
        )
    fits = asset_path("", name) == f"/assets/{digest}/{name}"
    kept = f"public, max-age={_YEAR}, immutable" if fits else "no-cache"
    return Response(file.read_bytes(), 200, {**HEADERS, "cache-control": kept}, kind)


def set_cookie(answer: Response, request: Request, name: str, value: str, seconds: int | None) -> None:
    """Set a cookie that no script reads and no other site's form sends; 0 seconds takes it away."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
