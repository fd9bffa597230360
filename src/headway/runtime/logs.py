"""How the processes of the command line log: to stderr, one line each; level from HEADWAY_LOG_LEVEL."""

from __future__ import annotations

import logging
import os


def configure_logging(level: str | None = None) -> None:
    """Set up the root logger unless the application did; an unknown level counts as INFO."""
    chosen = getattr(logging, (level or os.environ.get("HEADWAY_LOG_LEVEL", "INFO")).upper(), logging.INFO)
    logging.basicConfig(level=chosen, format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s")
