"""The whole emulator, as the command runs it: Cloud Tasks, Cloud Scheduler and the tokens that both attach."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.clock import SystemClock
from headway.emulator.attempts import Attempts
from headway.emulator.credentials import Credentials
from headway.emulator.delivery import HttpDelivery
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.scheduler.part import CloudScheduler
from headway.emulator.server import Emulator
from headway.emulator.targets import Targets
from headway.emulator.tokens import GOOGLE_ISSUER, Tokens, from_pem, new_key, to_pem
from headway.emulator.wanted import parse_queue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_log: Final = logging.getLogger("headway.emulator")

_KIND: Final = "token-key"
_NAME: Final = "1"


@asynccontextmanager
async def running(  # noqa: PLR0913 - keyword-only settings of one object
    *,
    host: str = "127.0.0.1",
    grpc_port: int = 0,
    http_port: int = 0,
    state: Path | None = None,
    faults: Faults | None = None,
    secret: bytes | None = None,
    targets: Sequence[str] = (),
    hosts: Sequence[str] = (),
    queues: Sequence[str] = (),
    issuer: str = GOOGLE_ISSUER,
    pubsub_host: str | None = None,
) -> AsyncGenerator[Emulator]:
    """Serve until the block ends. Without a state file nothing outlives it, the key of the tokens neither.

    `targets` are the receivers that are given tokens and signatures; none: all on loopback addresses. `hosts` are names
    by which the HTTP port may be called, beside those of the loopback addresses. `queues` are there from the start, as
    `PROJECT/LOCATION/NAME=5,concurrent=10,attempts=3`.

    ConfigError when a port or the state file cannot be had.
    """
    declared = Targets(targets)
    wanted = [parse_queue(text) for text in queues]
    journal = Journal(state)
    clock = SystemClock()
    transport = HttpDelivery()
    faults = faults or Faults()
    try:
        if state is not None:
            _make_private(state)
        await journal.open()
        tokens = Tokens(_kept_key(journal), issuer=issuer)
        credentials = Credentials(tokens, secret, declared)
        attempts = Attempts(clock)
        scheduler = CloudScheduler(
            journal,
            clock,
            Dice(replace(faults, seed=faults.seed + 1)),  # draws of its own, not the same ones again
            deliver=attempts.recording(transport),
            credentials=credentials,
            pubsub_host=pubsub_host,
        )
        emulator = Emulator(
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            hosts=hosts,
            attempts=attempts,
            queues=wanted,
            journal=journal,
            clock=clock,
            credentials=credentials,
            faults=faults,
            parts=[scheduler],
            extra_routes=tokens.routes(),
        )
        async with emulator:
            yield emulator
    finally:
        await transport.close()
        await journal.close()


def _make_private(state: Path) -> None:
    """Create the file, if it is not there, for its owner alone: it holds payloads and the key of the tokens."""
    with suppress(OSError):  # it exists, or opening it will say what is wrong
        state.touch(mode=0o600, exist_ok=False)


def _kept_key(journal: Journal) -> RSAPrivateKey:
    """Return the key of the state file, so that a receiver's cached certificates outlive a restart; or a new one."""
    kept = journal.load(_KIND).get(_NAME)
    if kept is not None:
        try:
            return from_pem(kept)
        except ValueError as error:
            _log.error("the key of the tokens in %s is damaged, another is made: %s", journal.path, error)
    key = new_key()
    journal.put(_KIND, _NAME, to_pem(key))
    return key
