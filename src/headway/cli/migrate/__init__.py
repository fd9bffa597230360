"""`headway migrate`: bring jobs and code along from BullMQ, Bull and arq."""

from headway.cli.migrate.command import migrate

__all__ = ["migrate"]
