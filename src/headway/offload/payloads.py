"""Large calls and results: kept in a folder or a bucket, and named by a small reference in their place.

What is written is the whole envelope, as the codec made it. Its reference has the name, the size and the hash of it:
a worker reads no more than that size, and uses nothing whose hash is another. Names are made here and matched when they
are read: a reference from a hostile carrier cannot name anything outside the app's own part of the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct, structs

from headway.clock import from_ms
from headway.codec import REFERENCE, decode_call, is_reference
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    CodecError,
    HeadwayError,
    PayloadMissingError,
)
from headway.offload.blobs import BlobStore, open_store
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.clock import Clock
    from headway.config import Settings
    from headway.job import JobId, NewJob

T = TypeVar("T")

_ID: Final = "[0-9a-hjkmnp-tv-z]{20}"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FILE: Final = re.compile(rf"({_ID})\.(?:call|result)-[0-9a-f]{{16}}", re.ASCII)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_MAX_REFERENCE: Final = 512  # bytes
_MAX_TRACEPARENT: Final = 200  # characters; those of today have 55
_PARALLEL: Final = 8  # writes at once
_CALL_SECONDS: Final = 120.0  # for one blob; a store that hangs must not hold a job for ever


class Reference(Struct, array_like=True, frozen=True):
    """What stands in an envelope in place of its contents.

    Of a call it also has what its carrier asks for, 0 and empty where the call says nothing.
    """

    name: str
    size: int
    digest: bytes
    timeout_ms: int = 0
    traceparent: str = ""


class Blob(Struct, frozen=True):
    """A stored call or result of a job, found by its name."""

    name: str
    job_id: str


class Offload:
    """The store of one app's large calls and results."""

    def __init__(self, settings: Settings, name: str, clock: Clock) -> None:
        """`name` is the app's; the store is opened by the first call that needs it."""
        self.over = min(settings.offload_over, settings.payload_limit)
        self._url = settings.offload
        self._limit = settings.offload_limit
        self._folder = _folder(settings.namespace or name)
        self._clock = clock
        self._opened: BlobStore | None = None

    async def open(self) -> None:
        """Load what the store needs; ConfigError when it cannot be had."""
        await self._call("opened", self._store)

    async def shrunk(self, jobs: Sequence[NewJob], max_payload: int) -> list[NewJob]:
        """Return the jobs with every large payload stored, and its reference in its place.

        Large is what is over `offload_over`, or what the carrier does not take. BrokerUnavailableError or
        BrokerRefusedError when the store fails: then none of the jobs is to be enqueued.
        """
        over = min(self.over, max_payload)
        places = asyncio.Semaphore(_PARALLEL)

        async def shrink(job: NewJob) -> NewJob:
            if len(job.payload) <= over or is_reference(job.payload):
                return job
            async with places:
                return structs.replace(job, payload=await self._keep(job.id, "call", job.payload))

        return list(await asyncio.gather(*map(shrink, jobs)))

    async def keep_result(self, job_id: JobId, result: bytes) -> bytes:
        """Store an encoded result and return its reference; raises as `shrunk` does."""
        return await self._keep(job_id, "result", result)

    async def fetch(self, payload: bytes) -> bytes:
        """Return the envelope that a reference names.

        CodecError: the reference or the blob is damaged. PayloadMissingError: there is no such blob.
        BrokerUnavailableError, BrokerRefusedError: the store failed.
        """
        reference = read_reference(payload)
        if reference.size > self._limit:
            msg = f"the offloaded payload {reference.name} has {reference.size} bytes, offload_limit is {self._limit}"
            raise CodecError(msg)
        name = f"{self._folder}/{reference.name}"

        def read() -> bytes:
            data = self._store().read(name, reference.size + 1)
            if len(data) != reference.size or _digest(data) != reference.digest:
                msg = f"the offloaded payload {name} is not what was stored: size or hash differ"
                raise CodecError(msg)
            return data

        return await self._call(f"asked for {name}", read)

    async def days(self) -> list[str]:
        """Return the days (of UTC, ISO 8601) of which there are blobs, oldest first."""
        names = await self._call("listed", lambda: self._store().names(self._folder))
        return [day for day in names if _DAY.fullmatch(day)]

    async def blobs(self, day: str) -> list[Blob]:
        """Return the blobs of a day."""
        names = await self._call("listed", lambda: self._store().names(f"{self._folder}/{day}"))
        return [Blob(f"{day}/{name}", found[1]) for name in names if (found := _FILE.fullmatch(name))]

    async def remove(self, blobs: Sequence[Blob]) -> None:
        """Remove blobs for good."""
        names = [f"{self._folder}/{blob.name}" for blob in blobs]
        await self._call("asked to remove blobs", lambda: self._store().remove(names))

    async def _keep(self, job_id: JobId, kind: str, payload: bytes) -> bytes:
        day = from_ms(self._clock.now_ms()).date().isoformat()

        def write() -> bytes:
            digest = _digest(payload)
            name = f"{day}/{job_id}.{kind}-{digest.hex()[:16]}"
            self._store().write(f"{self._folder}/{name}", payload)
            timeout_ms, traceparent = _told(payload) if kind == "call" else (0, "")
            reference = Reference(name, len(payload), digest, timeout_ms, traceparent)
            return bytes([REFERENCE]) + msgspec.msgpack.encode(reference)

        return await self._call(f"given the {kind} of job {job_id}", write)

    async def _call(self, what: str, work: Callable[[], T]) -> T:
        """Run blocking work on a thread; its errors name the store."""
        where = f"offload store {redact(self._url)}"
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await asyncio.to_thread(work)
        except HeadwayError:
            raise
        except TimeoutError as error:
            msg = f"{where}: no answer within {_CALL_SECONDS:.0f} s when {what}"
            raise BrokerUnavailableError(msg) from error
        except FileNotFoundError as error:
            msg = f"{where}: nothing was found when {what}: it was removed, or this host sees another store"
            raise PayloadMissingError(msg) from error
        except (PermissionError, NotADirectoryError) as error:
            msg = f"{where}: refused when {what}: {error}"
            raise BrokerRefusedError(msg) from error
        except Exception as error:
            # Each client of a store has errors of its own.
            msg = f"{where}: failed when {what}: {type(error).__name__}: {error}"
            raise BrokerUnavailableError(msg) from error

    def _store(self) -> BlobStore:
        if self._opened is None:
            self._opened = open_store(self._url)
        return self._opened


async def whole(offload: Offload | None, payload: bytes) -> bytes:
    """Return the payload, fetched when it is a reference; raises as `Offload.fetch` does."""
    if not is_reference(payload):
        return payload
    if offload is None:
        name = read_reference(payload).name
        msg = f"the payload is offloaded as {name}: set `offload` here to the URL that its sender has"
        raise CodecError(msg)
    return await offload.fetch(payload)


def read_reference(payload: bytes) -> Reference:
    """Read a reference; CodecError when it is damaged, or names what is never stored."""
    if len(payload) > _MAX_REFERENCE:
        msg = f"the reference to an offloaded payload is damaged: it has {len(payload)} bytes"
        raise CodecError(msg)
    try:
        reference = msgspec.msgpack.decode(payload[1:], type=Reference)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        msg = f"the reference to an offloaded payload is damaged: {error}"
        raise CodecError(msg) from error
    day, _, file = reference.name.partition("/")
    if not _DAY.fullmatch(day) or not _FILE.fullmatch(file) or reference.size < 0:
        msg = "the reference to an offloaded payload is damaged: it names nothing that Headway stores"
        raise CodecError(msg)
    return reference


def _told(payload: bytes) -> tuple[int, str]:
    try:
        call, _ = decode_call(payload)
    except CodecError:
        return 0, ""  # its run reports that
    traceparent = call.headers.get("traceparent", "")
    return call.timeout_ms, traceparent if len(traceparent) <= _MAX_TRACEPARENT else ""


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _folder(namespace: str) -> str:
    """Return a folder's name for the app: the app's own where every store can hold it, else one with a hash."""
    if _PLAIN.fullmatch(namespace):
        return namespace
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", namespace)[:60]
    return f"{plain}.{hashlib.blake2b(namespace.encode(), digest_size=6).hexdigest()}"
