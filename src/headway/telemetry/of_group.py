"""What the processes of a worker or a receiver have counted, served on a port of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from headway.errors import ConfigError
from headway.figures.published import FOLDER, Reader
from headway.telemetry.families import of_counts, of_values
from headway.telemetry.names import OF_FIGURES, OF_PROCESSES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from prometheus_client.core import Metric as Family

_GAUGES: Final = ("places", "places_used", "connections")
_TOTALS: Final = {"commands_total": "commands", "leases_lost_total": "leases_lost"}


class GroupCollector(Collector):
    """Reads what the processes of a group publish, at each scrape."""

    def __init__(self, folder: Path) -> None:
        self._reader = Reader(folder)

    def collect(self) -> Iterator[Family]:
        """Yield the metrics of `names.OF_PROCESSES`."""
        sums, processes = self._reader.read()
        counts = {(row.queue, row.task, row.carrier): row.counts for row in sums.figures.rows}
        yield from of_counts(OF_PROCESSES[: len(OF_FIGURES)], counts)
        for metric in OF_PROCESSES[len(OF_FIGURES) :]:
            name = metric.name.removeprefix("headway_process_")
            if metric.name == "headway_processes":
                value = float(processes)
            elif name in _GAUGES:
                value = sums.gauges.get(name, 0.0)
            else:
                value = sums.totals.get(_TOTALS[name], 0.0)
            yield of_values(metric, {(): value})


@contextmanager
def publishing() -> Generator[Path]:
    """Make the folder in which processes that are started from now on publish; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="headway-metrics-"))
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop(FOLDER, None)
        else:
            os.environ[FOLDER] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(collector: Collector, host: str, port: int) -> Generator[int]:
    """Serve a collector's metrics on a port, 0 for a free one; yield the port. ConfigError when it cannot be had."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        msg = f"--metrics-port: cannot listen on {host} port {port}: {error}"
        raise ConfigError(msg) from error
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)
