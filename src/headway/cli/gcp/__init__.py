"""`headway gcp`: an app's queues, schedules, services and topics on Google Cloud, as they are declared."""

from headway.cli.gcp.command import gcp

__all__ = ["gcp"]
