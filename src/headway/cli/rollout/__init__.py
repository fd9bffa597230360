"""`headway rollout`: a queue moves to another carrier step by step, guarded, and back at once."""

from headway.cli.rollout.command import rollout

__all__ = ["rollout"]
