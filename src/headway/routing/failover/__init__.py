"""Fail-over: a breaker for each carrier, and a spool on this host for jobs that their carrier does not take for now."""
