"""`headway schedules`: those in the code and those made at run time: list, make, change, pause, run."""

from headway.cli.schedules.command import schedules

__all__ = ["schedules"]
