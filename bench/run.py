"""A run: peers take turns, test by test and round by round, so that a slow minute hits all of them."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.environments import ROOT, EnvironmentMissingError, prepare
from bench.machine import describe_machine
from bench.measure.base import Subject, UnsupportedTestError
from bench.processes import ProcessError, UnsupportedLoadError
from bench.results import Failure, PeerRecord, Results, write_results
from bench.tally import CheckFailedError, DeadlineError
from tests.servers import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.environments import Environment
    from bench.measure.base import Test
    from bench.peer import Peer

_QUICK = 0.25


def run(
    peers: Sequence[Peer],
    tests: Sequence[Test],
    *,
    rounds: int,
    jobs: int | None,
    quick: bool,
    out: Path,
    minutes: float | None = None,
) -> Results:
    """Measure, writing what is there after each test; never raises for what a peer does.

    After `minutes` no further test is begun; what is left out is recorded.
    """
    begin = time.monotonic()
    results = Results(
        machine=describe_machine(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds,
        quick=quick,
    )
    environments = _prepare_all(peers, results)
    for number, test in _turns(tests, rounds):
        if minutes is not None and time.monotonic() - begin > 60 * minutes:
            _fail(results, Failure("all", test.name, number, "skipped", f"the {minutes:g} minutes were over"))
            continue
        for peer in peers:
            if peer.name in environments and takes_part(peer, test, number):
                subject = Subject(
                    peer,
                    environments[peer.name],
                    _QUICK if quick else 1.0,
                    jobs,
                    _known_rate(results, peer, "drain"),
                    _known_rate(results, peer, "bulk"),
                )
                _measure(results, subject, test, number)
        results.seconds = round(time.monotonic() - begin, 1)
        write_results(results, out)
    return results


def _turns(tests: Sequence[Test], rounds: int) -> list[tuple[int, Test]]:
    """Round by round; what is measured once comes last, so that a slow machine leaves out what tells least."""
    turns = [
        (number, test)
        for number in range(1, rounds + 1)
        for test in tests
        if number <= (rounds if test.rounds is None else test.rounds)
    ]
    return sorted(turns, key=lambda turn: turn[1].rounds == 1)


def takes_part(peer: Peer, test: Test, number: int = 1) -> bool:
    """Whether the test makes sense for the peer, in this round."""
    if number > 1 and test.again and peer.name not in test.again:
        return False
    if test.peers:
        return peer.name in test.peers
    if test.redis_only and peer.carrier != "redis":
        return False
    return test.floor or not peer.floor


def _prepare_all(peers: Sequence[Peer], results: Results) -> dict[str, Environment]:
    environments: dict[str, Environment] = {}
    for peer in peers:
        record = PeerRecord(peer.name, peer.configuration, peer.carrier, {})
        try:
            environments[peer.name] = prepare(peer)
            record.versions = environments[peer.name].versions
        except EnvironmentMissingError as error:
            record.missing = str(error)
            _say(f"{peer.name}: cannot be installed: {error}")
        results.peers[peer.name] = record
    return environments


def _measure(results: Results, subject: Subject, test: Test, number: int) -> None:
    peer = subject.peer
    begin = time.monotonic()
    try:
        reading = test.measure(subject)
    except (UnsupportedLoadError, UnsupportedTestError) as error:
        _fail(results, Failure(peer.name, test.name, number, "unsupported", _brief(error)))
    except CheckFailedError as error:
        _fail(results, Failure(peer.name, test.name, number, "check", _brief(error)))
    except DeadlineError as error:
        _fail(results, Failure(peer.name, test.name, number, "deadline", _brief(error)))
    except (ProcessError, ServerError, OSError, LookupError, ValueError) as error:
        _fail(results, Failure(peer.name, test.name, number, "error", _brief(error)))
    else:
        for metric, value in reading.values.items():
            results.add(peer.name, metric, value)
        for metric, reason in reading.unsupported.items():
            _fail(results, Failure(peer.name, metric, number, "unsupported", reason))
        results.loads.setdefault(test.name, {})[peer.name] = reading.jobs
        results.checked += reading.jobs
        found = ", ".join(f"{name} {value:,.4g}" for name, value in reading.values.items())
        _say(f"{number} {test.name:12} {peer.name:14} {time.monotonic() - begin:5.1f} s  {found}")


def _fail(results: Results, failure: Failure) -> None:
    """Record it; what a peer does not offer is said once, not in each round."""
    if failure.kind == "unsupported" and any(
        (known.peer, known.test, known.kind) == (failure.peer, failure.test, failure.kind)
        for known in results.failures
    ):
        return
    results.failures.append(failure)
    _say(f"{failure.round} {failure.test:12} {failure.peer:14} {failure.kind}: {failure.reason}")


def _brief(error: Exception) -> str:
    """The message without the middle of a trace; no path of this machine belongs in a report."""
    lines = str(error).replace(str(ROOT), ".").replace(str(Path.home()), "~").splitlines()
    return (
        lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1].strip()}" if lines else type(error).__name__
    )


def _known_rate(results: Results, peer: Peer, metric: str) -> float | None:
    values = results.values.get(metric, {}).get(peer.name)
    return statistics.median(values) if values else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
