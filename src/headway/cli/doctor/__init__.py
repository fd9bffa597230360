"""`headway doctor`: what may go wrong with a carrier, before it does."""

from __future__ import annotations

from headway.cli.doctor.command import doctor

__all__ = ["doctor"]
