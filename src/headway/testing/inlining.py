"""An app in a test: opened on a carrier of its own, with a clock that the test moves."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import structs

from headway.app.opening import OpenApps, broker_settings
from headway.app.portal import Portal
from headway.brokers.url import from_url, pulled
from headway.clock import SystemClock
from headway.config import MAIN
from headway.offload.payloads import Offload
from headway.runtime.resources import Lifespan
from headway.testing.clock import FakeClock
from headway.testing.faults import FaultyBroker
from headway.testing.inlined import Inline, InlineCarrier

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from headway.app.app import Headway
    from headway.app.lifespan import Resource


@asynccontextmanager
async def inline(
    app: Headway,
    *,
    clock: FakeClock | None = None,
    directory: Path | None = None,
    resources: Mapping[Resource[Any], object] | None = None,
) -> AsyncGenerator[Inline]:
    """Open the app on a carrier of its own for one test, whatever its settings say, and run its jobs when asked.

    The carrier is a SQLite file in `directory` (default: a temporary one), its clock stands at the present instant
    until the test moves it. Within the block the app is open, also for its blocking twins when threads call them.

    `resources` are values that stand in for resources, such as `{db: FakePool()}`. The others are opened before the
    first job, once: the error of one that cannot be opened is raised where the job should have run.
    """
    lifespan = Lifespan(app.import_included(), "inline", given=resources, retried=False)
    with tempfile.TemporaryDirectory(prefix="headway-inline-") as temporary:
        path = (directory or Path(temporary)).absolute() / "inline.db"
        clock = FakeClock(SystemClock().now_ms()) if clock is None else clock
        store = from_url(
            f"sqlite:///{quote(str(path))}", broker_settings(app.name, app.settings), clock=clock
        )
        faults = FaultyBroker(pulled(store))
        carrier = InlineCarrier(faults)
        with _borrowed(app, clock, carrier, path.with_name("offloaded")):
            async with app:
                box = Inline(app, clock, carrier, faults, lifespan)
                if app.schedules:
                    await box.declare_schedules()
                try:
                    yield box
                finally:
                    await box.close()


@contextmanager
def _borrowed(app: Headway, clock: FakeClock, carrier: InlineCarrier, offloaded: Path) -> Generator[None]:
    """Put the test's clock, carrier and store in place of the app's own; the app gets back what it had, open or not."""
    kept = app.clock, app.portal, app.offload, app._opened  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - one package
    app.clock = clock
    if app.offload is not None:
        app.offload = Offload(structs.replace(app.settings, offload=str(offloaded)), app.name, clock)
    app.portal = Portal(app.open, app.close)
    app._opened = OpenApps(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as above
        app.name,
        app.settings,
        {MAIN: carrier},
        clock,
        offload=app.offload,
        elsewhere=app.portal.loop_for_others,
    )
    try:
        yield
    finally:
        app.clock, app.portal, app.offload, app._opened = kept  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
