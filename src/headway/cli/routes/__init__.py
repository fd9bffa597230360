"""`headway routes`: which carrier takes the jobs of a queue, changed while the app runs."""

from headway.cli.routes.command import routes

__all__ = ["routes"]
