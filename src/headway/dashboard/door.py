"""Who may come in: by a session, or as whoever sits at this machine while the app has no key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.dashboard.sessions import begin, form_token, fresh_nonce, read, same_token
from headway.server.access.authentication import UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.clock import Clock
    from headway.dashboard.sessions import Session
    from headway.server.access.authentication import Authenticator
    from headway.server.access.caller import Caller
    from headway.server.access.keyring import Keyring
    from headway.server.access.keys import KeyRecord

SESSION: Final = "headway_session"
VISIT: Final = "headway_visit"
"""Cookies: that of a session, and that of a visit without one, which forms are bound to."""


class Visitor(NamedTuple):
    """Whoever asks. `caller` None: nobody yet. `token` is what their forms must carry."""

    caller: Caller | None
    token: str
    fresh_visit: str = ""  # a visit that begins now: its cookie is to be set
    signed_in: bool = False


class Door:
    """Lets people in."""

    def __init__(self, keyring: Keyring, authenticator: Authenticator, clock: Clock) -> None:
        """The keyring's database is open."""
        self._keyring = keyring
        self._authenticator = authenticator
        self._clock = clock
        self._secret = secrets.token_bytes(32)  # of visits: forms of before a restart are asked for again

    async def look(self, cookies: Mapping[str, str], address: str) -> Visitor:
        """Tell who asks."""
        session = read(cookies.get(SESSION, ""))
        if session is not None:
            record = await self._keyring.get(session.key)
            if (
                record is not None
                and record.id == session.key
                and _good(record, self._clock.now_ms(), session)
            ):
                token = form_token(record.digest, session.nonce)
                return Visitor(record.caller(address), token, signed_in=True)
        fresh = ""
        visit = cookies.get(VISIT, "")
        if not 16 <= len(visit) <= 64:  # noqa: PLR2004 - the length of ours, roughly
            visit = fresh = fresh_nonce()
        token = form_token(self._secret, visit)
        try:
            return Visitor(await self._authenticator.identify(None, address), token, fresh)
        except UnauthorizedError:
            return Visitor(None, token, fresh)

    async def sign_in(self, key: str, address: str) -> tuple[Session, Caller]:
        """Begin a session with an API key. UnauthorizedError, TooManyWrongKeysError."""
        caller = await self._authenticator.identify(f"Bearer {key.strip()}", address)
        record = await self._keyring.get(caller.key_id)
        if record is None:
            msg = "this key is not good: it is wrong, revoked or expired"
            raise UnauthorizedError(msg)
        return begin(record.id, record.digest, self._clock.now_ms()), caller


def _good(record: KeyRecord, now_ms: int, session: Session) -> bool:
    if record.revoked_ms is not None or (record.expires_ms is not None and record.expires_ms <= now_ms):
        return False
    return session.made_with(record.digest, now_ms)


def is_ours(visitor: Visitor, given: str, headers: Mapping[str, str], host: str) -> bool:
    """Tell whether a form was sent from one of our pages: by its token, and by where the browser says that it was."""
    if not same_token(given, visitor.token):
        return False
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host
