"""Adds so many to the version of an entry, by reading and swapping: run by several processes at once."""

from __future__ import annotations

import asyncio
import sys

from headway.guards.base import Entry
from headway.guards.url import from_url


async def main(url: str, namespace: str, times: int) -> None:
    store = from_url(url, namespace=namespace)
    await store.open()
    try:
        await store.insert(Entry("counter", 1, "q", "t", 0, None, b""), now_ms=0)
        for _ in range(times):
            while True:
                (there,) = await store.read(["counter"], now_ms=0)
                assert there is not None
                writer = f"{sys.argv[4]} {there.version}".encode()
                if await store.swap(Entry("counter", there.version + 1, "q", "t", 0, None, writer), now_ms=0):
                    break
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
