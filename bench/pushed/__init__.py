"""The processes of `python -m bench.push`."""

from __future__ import annotations

from typing import Final

LOG_VARIABLE: Final = "BENCH_PUSH_LOG"
"""Names the file into which handlers write."""
