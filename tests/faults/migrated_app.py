"""The app that arq's jobs are brought along to: each run appends `headway TAG` to the ledger of both sides."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from headway import Headway

app = Headway("migrated", url=os.environ["MIGRATED_URL"], processes=1)
_LEDGER = Path(os.environ["MIGRATED_LEDGER"])


@app.task(name="work")
async def work(tag: str) -> None:
    """Say that the job ran here."""
    descriptor = os.open(_LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"headway {tag}\n".encode())
    finally:
        os.close(descriptor)
    await asyncio.sleep(0.01)
