"""Who sent a request, by its key."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from headway.errors import HeadwayError
from headway.server.access.caller import Caller, Role

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.server.access.keyring import Keyring

_WINDOW_MS: Final = 60_000
_MOST_WRONG: Final = 60  # wrong keys from one address in a window
_MOST_ADDRESSES: Final = 10_000


class UnauthorizedError(HeadwayError):
    """No key, or none that is good."""


class TooManyWrongKeysError(HeadwayError):
    """Wrong keys come from this address again and again."""


class Authenticator:
    """Tells who sent a request."""

    def __init__(self, keyring: Keyring, clock: Clock, *, open_without_keys: bool) -> None:
        """`open_without_keys`: while the app has no key, whoever calls from this machine is its administrator."""
        self._keyring = keyring
        self._clock = clock
        self._open = open_without_keys
        self._wrong: dict[str, int] = {}
        self._since_ms = 0

    async def identify(self, authorization: str | None, address: str) -> Caller:
        """Return who calls. UnauthorizedError says what to send; TooManyWrongKeysError."""
        if authorization is None:
            if self._open and is_loopback(address) and not await self._keyring.any():
                return Caller("local", Role.ADMIN, address=address)
            msg = "a key is needed: Authorization: Bearer KEY; `headway keys create` makes one"
            raise UnauthorizedError(msg)
        scheme, _, text = authorization.partition(" ")
        record = await self._keyring.find(text.strip()) if scheme.lower() == "bearer" else None
        if (
            record is None
        ):  # a good key passes in any case: others may share the address of somebody who guesses
            self._check_wrong(address)
            self._count_wrong(address)
            msg = "this key is not good: it is wrong, revoked or expired"
            raise UnauthorizedError(msg)
        return record.caller(address)

    def _check_wrong(self, address: str) -> None:
        if self._wrong.get(address, 0) < _MOST_WRONG:
            return
        if self._clock.now_ms() - self._since_ms < _WINDOW_MS:
            msg = "too many wrong keys came from this address: try again in a minute"
            raise TooManyWrongKeysError(msg)
        self._wrong.clear()

    def _count_wrong(self, address: str) -> None:
        now = self._clock.now_ms()
        if now - self._since_ms >= _WINDOW_MS or len(self._wrong) >= _MOST_ADDRESSES:
            self._wrong.clear()
            self._since_ms = now
        self._wrong[address] = self._wrong.get(address, 0) + 1


def is_loopback(address: str) -> bool:
    """Tell whether an address is one of this machine; also that of a Unix socket, which is empty."""
    if address in {"", "localhost"}:
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)
