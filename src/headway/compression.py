"""Payloads compressed with Zstandard, which is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import CodecError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_EXPANDED: Final = 64 * 1024 * 1024
"""Bytes. What is larger is stored as it is: so a small compressed envelope that claims more is an attack or damage."""


def compressor() -> Callable[[bytes], bytes]:
    """Return what compresses; ConfigError when the extra is not installed."""
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "compression = zstd needs the extra: pip install 'headway[zstd]'"
        raise ConfigError(msg) from error
    return zstandard.ZstdCompressor(level=3).compress


def expand(body: bytes) -> bytes:
    """Expand what was compressed; CodecError when it is damaged, or claims too much."""
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "the payload is compressed with Zstandard: pip install 'headway[zstd]' where it is read"
        raise CodecError(msg) from error
    try:
        if zstandard.frame_content_size(body) > MAX_EXPANDED:
            msg = "the compressed payload claims an unreasonable size"
            raise CodecError(msg)
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_EXPANDED)
    except zstandard.ZstdError as error:
        msg = f"the compressed payload is damaged: {error}"
        raise CodecError(msg) from error
