"""What Redis servers have done for the apps of `bench.routed`: CPU time and commands, by kind of app."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import redis

if TYPE_CHECKING:
    from collections.abc import Sequence

Reading = list[tuple[float, int]]
"""CPU seconds and commands of each server."""
_OWN: Final = 1  # command of ours between two readings


class Servers:
    """Servers that are asked for what they have used; of another kind of carrier there are none."""

    def __init__(self) -> None:
        self._clients: list[Any] = []
        self._used: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self._jobs: dict[tuple[str, str], int] = defaultdict(int)

    def connect(self, urls: Sequence[str]) -> None:
        """Ask these from now on."""
        for client in self._clients:
            client.close()
        self._clients = [redis.Redis.from_url(url) for url in urls if url.startswith("redis")]

    def read(self) -> Reading:
        """Return what each has used since its start."""
        found: Reading = []
        for client in self._clients:
            info = client.info()
            cpu = info["used_cpu_user"] + info["used_cpu_sys"]
            found.append((cpu, info["total_commands_processed"]))
        return found

    def add(self, kind: str, way: str, before: Reading, jobs: int) -> None:
        """Count what was used since then, for so many jobs."""
        key = way, kind
        used = [
            (cpu - cpu_before, commands - commands_before - _OWN)
            for (cpu, commands), (cpu_before, commands_before) in zip(self.read(), before, strict=True)
        ]
        known = self._used.get(key, [(0.0, 0.0)] * len(used))
        self._used[key] = [(a + c, b + d) for (a, b), (c, d) in zip(known, used, strict=True)]
        self._jobs[key] += jobs

    def per_job(self) -> dict[str, dict[str, list[dict[str, float]]]]:
        """Return by way and kind what each server has had for one job."""
        found: dict[str, dict[str, list[dict[str, float]]]] = {}
        for (way, kind), used in self._used.items():
            jobs = max(1, self._jobs[way, kind])
            found.setdefault(way, {})[kind] = [
                {"cpu_us": cpu * 1e6 / jobs, "commands": commands / jobs} for cpu, commands in used
            ]
        return found
