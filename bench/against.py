"""This tree and another revision of it in one run, in turns: what a change cost, or brought."""

from __future__ import annotations

import io
import statistics
import subprocess
import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bench.environments import HOME, ROOT
from bench.figures import advantage
from bench.metrics import METRICS
from bench.roster import ROSTER

if TYPE_CHECKING:
    from pathlib import Path

    from bench.peer import Peer
    from bench.results import Results

_BEFORE: Final = "-before"


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both, round by round. `factor`: the median of the rounds' quotients; 2 is twice as good now."""

    peer: str
    metric: str
    before: float
    now: float
    factor: float

    def slower(self, tolerance: float) -> bool:
        """Whether it is worse by more than a share of `tolerance`."""
        return self.factor < 1 - tolerance


def both_sides(revision: str) -> list[Peer]:
    """Return Headway on each carrier, from the revision and from this tree; ValueError when git knows no such one."""
    tree = _tree(revision)
    ours = [peer for peer in ROSTER if peer.folder == "headway"]
    return [side for peer in ours for side in (replace(peer, name=peer.name + _BEFORE, tree=tree), peer)]


def pairs_of(results: Results) -> list[Pair]:
    """Compare each figure of a round with that of the other side in the same round."""
    pairs: list[Pair] = []
    for metric, values in results.values.items():
        for peer, now in values.items():
            before = values.get(peer + _BEFORE, [])
            higher = METRICS[metric].higher_is_better
            quotients = [
                quotient
                for old, new in zip(before, now, strict=False)  # a round that failed has no value
                if (quotient := advantage(new, old, higher_is_better=higher)) is not None
            ]
            if quotients:
                middle = statistics.median
                pairs.append(Pair(peer, metric, middle(before), middle(now), middle(quotients)))
    return pairs


def table(pairs: list[Pair], revision: str) -> str:
    """Return the pairs as text, the worst first."""
    lines = [f"{'metric':22} {'peer':16} {revision[:12]:>12} {'now':>12} {'now is better by':>17}"]
    lines += [
        f"{pair.metric:22} {pair.peer:16} {pair.before:12,.4g} {pair.now:12,.4g} {pair.factor - 1:+17.1%}"
        for pair in sorted(pairs, key=lambda pair: pair.factor)
    ]
    return "\n".join(lines)


def _tree(revision: str) -> Path:
    """Lay the source of a revision below `.bench/trees`, once."""
    known = _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    folder = HOME / "trees" / known
    if not folder.exists():
        packed = _git("archive", "--format=tar", known, "src", "bench")
        half = folder.with_suffix(".new")
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(half, filter="data")
        half.rename(folder)
    return folder


def _git(*arguments: str) -> bytes:
    done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, check=False)  # noqa: S607 - as users do
    if done.returncode:
        msg = f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()[:300]}"
        raise ValueError(msg)
    return done.stdout
