"""`Idempotency-Key`: the answer of a request is kept for a day, and given again to the same request.

A request that is under way is answered 409; one whose server died in the middle may be sent again after a minute. Jobs
have the key as their own idempotency key besides, so that not even then two are made.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from headway.server.rest.problem import ProblemError
from headway.server.store.tables import REPLAYS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from headway.clock import Clock
    from headway.server.store.database import Database

KEPT_MS: Final = 24 * 3600 * 1000
"""How long an answer is kept."""
_DEAD_MS: Final = 60_000  # longer than any request takes
_MOST_BODY: Final = 2 * 1024 * 1024  # bytes of an answer that is kept
_KEY: Final = re.compile(rb"[!-~]{1,255}")


class Kept(NamedTuple):
    """An answer, as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


class Replays:
    """The answers that are kept."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """The database is open."""
        self._database = database
        self._clock = clock

    async def begin(self, who: str, key: str, fingerprint: bytes) -> Kept | None:
        """Note that a request begins; return its answer where it was made before. ProblemError when it cannot be."""
        now = self._clock.now_ms()
        row = {"app": self._database.app, "who": who, "key": key, "fingerprint": fingerprint, "begun_ms": now}
        try:
            await self._database.write(insert(REPLAYS).values(**row), quiet=(IntegrityError,))
        except IntegrityError:
            return await self._met(who, key, fingerprint, now)
        return None

    async def _met(self, who: str, key: str, fingerprint: bytes, now: int) -> Kept | None:
        rows = await self._database.rows(select(REPLAYS).where(self._row(who, key)))
        found = next(iter(rows), None)
        if found is None or now - found["begun_ms"] > KEPT_MS:
            await self.forget(who, key)
            return await self.begin(who, key, fingerprint)
        if bytes(found["fingerprint"]) != fingerprint:
            msg = "this Idempotency-Key was used for another request: take a new one for each"
            raise ProblemError(422, "idempotency-key-reused", msg)
        if found["status"] is None:
            taken = update(REPLAYS).where(
                self._row(who, key), REPLAYS.c.status.is_(None), REPLAYS.c.begun_ms < now - _DEAD_MS
            )
            if await self._database.write(taken.values(begun_ms=now)):
                return None
            msg = "the first request with this Idempotency-Key is under way: try again later"
            raise ProblemError(409, "idempotency-key-in-use", msg, {"retry-after": "2"})
        if found["body"] is None:
            msg = (
                "this request was answered before, and its answer is not kept: it was large, or held a secret"
            )
            raise ProblemError(409, "answer-not-kept", msg)
        headers = msgspec.json.decode(found["headers"], type=dict[str, str])
        return Kept(found["status"], headers, bytes(found["body"]))

    async def finish(self, who: str, key: str, kept: Kept) -> None:
        """Keep the answer; one that says that the server failed is not kept, so that the request can be made again."""
        if kept.status >= 500 or kept.status in {409, 429}:  # noqa: PLR2004 - of HTTP
            await self.forget(who, key)
            return
        secret = kept.headers.get("cache-control") == "no-store"
        body = None if secret or len(kept.body) > _MOST_BODY else kept.body
        headers = msgspec.json.encode(kept.headers).decode()
        await self._database.write(
            update(REPLAYS).where(self._row(who, key)).values(status=kept.status, headers=headers, body=body)
        )

    async def forget(self, who: str, key: str) -> None:
        """Forget that there was such a request."""
        await self._database.write(delete(REPLAYS).where(self._row(who, key)))

    async def prune(self) -> int:
        """Forget answers whose time is over; return how many."""
        limit = self._clock.now_ms() - KEPT_MS
        old = delete(REPLAYS).where(REPLAYS.c.app == self._database.app, REPLAYS.c.begun_ms < limit)
        return await self._database.write(old)

    def _row(self, who: str, key: str) -> ColumnElement[bool]:
        return (REPLAYS.c.app == self._database.app) & (REPLAYS.c.who == who) & (REPLAYS.c.key == key)


def checked_key(given: bytes) -> str:
    """Return the value of `Idempotency-Key`; ProblemError when it is none."""
    if not _KEY.fullmatch(given):
        msg = "Idempotency-Key: must have 1 to 255 printable characters of ASCII, and no space"
        raise ProblemError(400, "malformed", msg)
    return given.decode("ascii")


def fingerprint_of(method: str, url: str, body: bytes) -> bytes:
    """Return what tells one request from another."""
    return hashlib.sha256(f"{method} {url}\n".encode("utf-8", "surrogateescape") + body).digest()
