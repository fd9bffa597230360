"""What a run found, as it is written to and read from JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1


@dataclass(slots=True)
class PeerRecord:
    """What is known of a peer: its configuration and versions, or why it could not take part."""

    name: str
    configuration: str
    carrier: str
    versions: dict[str, str]
    missing: str = ""


@dataclass(slots=True)
class Failure:
    """A measurement that did not come to its end, or whose exact-once check failed."""

    peer: str
    test: str
    round: int
    kind: str  # check, deadline, unsupported, error
    reason: str


@dataclass(slots=True)
class Results:
    """A run: `values[metric][peer]` has one value a round."""

    machine: dict[str, Any]
    started: str
    rounds: int
    quick: bool
    seconds: float = 0.0
    peers: dict[str, PeerRecord] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    loads: dict[str, dict[str, int]] = field(default_factory=dict)  # jobs of a test, by test and peer
    checked: int = 0  # jobs that were checked to have run exactly once
    failures: list[Failure] = field(default_factory=list)

    def add(self, peer: str, metric: str, value: float) -> None:
        """Add one round's value."""
        self.values.setdefault(metric, {}).setdefault(peer, []).append(value)

    @property
    def failed(self) -> bool:
        """Whether an exact-once check failed."""
        return any(failure.kind == "check" for failure in self.failures)


def write_results(results: Results, path: Path) -> None:
    """Write the results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, **asdict(results)}, indent=1) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read results; ValueError when they are of another format."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.pop("format", None) != FORMAT:
        msg = f"{path}: not results of this version of the suite"
        raise ValueError(msg)
    data["peers"] = {name: PeerRecord(**record) for name, record in data["peers"].items()}
    data["failures"] = [Failure(**failure) for failure in data["failures"]]
    return Results(**data)
