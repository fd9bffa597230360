"""Whether a URL can be called at all. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit


def fault_of(url: str) -> str:
    """Return what keeps a URL from being called, as the end of a sentence; empty when nothing does."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "its host or port is wrong"
    if parts.scheme not in {"http", "https"} or not host:
        return 'it must begin with "http://" or "https://" and name a host'
    return ""
