"""Routes: which carrier takes a job of a queue, decided once a job by a stable hash, a whole percentage at a time.

A queue's jobs are spread over 100 *places*. The place of a key or a header is `hash * 100 >> 64`, where `hash` is
BLAKE2b with a digest of 8 bytes, read big-endian, over its UTF-8 text. Its `person` is the 16-byte BLAKE2b digest of
the queue's name, so that queues are independent. The place of an id, which comes in one queue only and is random
already, is `hash * 100 >> 32` with its CRC-32, which costs a third. Both are the same on every machine and in every
Python.

A route is a list of *runs*: so many places, from place 0 on, belong to this carrier, the next ones to that. A route
made from weights has one run a carrier, in the order of their names: the order in which a file names them means
nothing. A change of weights hands over exactly as many places as the weights differ by and leaves all others where they
are. With two carriers the result depends on the weights alone. With three or more no rule that looks at the weights
alone can do that (Angel and Spinka 2019, arXiv:1903.00632), so a carrier may then have several runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headway.job import NewJob

PLACES: Final = 100
"""Places of a queue: one for each percent."""
HEADER: Final = "header:"
"""What stands before the name of a header in a route's `by`."""

Runs = tuple[tuple[str, int], ...]
"""Carriers with their number of places, from place 0 on; a carrier may come more than once, never twice in a row."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where the jobs of one queue go.

    `runs` add up to 100 percent; ValueError when they do not. Where `by` is empty, a job is placed by its idempotency
    key, or else by its id. Where it is `header:NAME`, a job is placed by the value of that header, so that all jobs of
    one tenant go to one carrier; a job without the header is placed by its key or id.
    """

    queue: str
    runs: Runs
    by: str = ""
    only: str | None = field(init=False, compare=False, repr=False)
    _header: str | None = field(init=False, compare=False, repr=False)
    _hash: blake2b = field(init=False, compare=False, repr=False)
    _at: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check the runs, and work out what `choose` needs, once a route instead of once a job."""
        if any(count < 1 for _, count in self.runs) or sum(count for _, count in self.runs) != PLACES:
            msg = f"the runs of a route must be positive and add up to {PLACES}, got {self.runs!r}"
            raise ValueError(msg)
        object.__setattr__(self, "runs", _joined(self.runs))
        object.__setattr__(self, "only", self.runs[0][0] if len(self.runs) == 1 else None)
        object.__setattr__(self, "_header", self.by.removeprefix(HEADER) if self.by else None)
        person = blake2b(self.queue.encode(errors="surrogatepass"), digest_size=16).digest()
        object.__setattr__(self, "_hash", blake2b(digest_size=8, person=person))
        object.__setattr__(self, "_at", tuple(_expanded(self.runs)))

    def __reduce__(self) -> tuple[type[Route], tuple[str, Runs, str]]:
        """Pickle what a route is made of: hash objects cannot be pickled."""
        return Route, (self.queue, self.runs, self.by)

    @property
    def weights(self) -> dict[str, int]:
        """Percent by carrier, in the order of the carriers' names; those without jobs are left out."""
        weights: dict[str, int] = {}
        for carrier, count in sorted(self.runs):
            weights[carrier] = weights.get(carrier, 0) + count
        return weights

    def choose(self, job_id: str, key: str | None = None, headers: Mapping[str, str] | None = None) -> str:
        """Return the carrier of a job: by its header, where the route names one and the job has it, else key or id."""
        if self.only is not None:
            return self.only
        if self._header is not None and headers is not None and (value := headers.get(self._header)):
            return self._at[self.place(value)]
        return self._at[place_of_id(job_id) if key is None else self.place(key)]

    def choose_id(self, job_id: str) -> str:
        """Return the carrier of a job that only its id tells from others, whatever mark that ends in."""
        return self._at[crc32(job_id[:-1].encode()) * PLACES >> 32]

    def choose_each(self, jobs: Sequence[NewJob]) -> list[str]:
        """Return the carriers of jobs of this queue without names, as `choose` does without the marks of ids."""
        if self.only is not None:
            return [self.only] * len(jobs)
        if self._header is not None:
            return [self.choose(job.id[:-1], None, job.headers) for job in jobs]
        at = self._at
        return [at[crc32(job.id[:-1].encode()) * PLACES >> 32] for job in jobs]

    def place(self, text: str) -> int:
        """Return the place of a key or a header's value in this queue: 0 to 99."""
        hashed = self._hash.copy()
        hashed.update(text.encode(errors="surrogatepass"))
        return int.from_bytes(hashed.digest(), "big") * PLACES >> 64

    def carrier_at(self, place: int) -> str:
        """Return the carrier of a place."""
        if not 0 <= place < PLACES:
            msg = f"a route has places from 0 to {PLACES - 1}, got {place}"
            raise IndexError(msg)
        return self._at[place]

    def changed(self, weights: Mapping[str, int]) -> Route:
        """Return the route with these weights (whole percent, sum 100); only as many places change hands as must.

        A carrier that gives places gives its last ones to a carrier behind it in the order of names, its first ones to
        one before it: so two carriers keep one run each.
        """
        places = _expanded(self.runs)
        given = self.weights
        surplus = {name: count - weights.get(name, 0) for name, count in given.items()}
        lack = {name: count - given.get(name, 0) for name, count in sorted(weights.items())}
        for donor in sorted(surplus):
            for receiver in sorted(lack):
                count = min(surplus[donor], lack[receiver])
                if count > 0:
                    own = [place for place, carrier in enumerate(places) if carrier == donor]
                    for place in own[-count:] if receiver > donor else own[:count]:
                        places[place] = receiver
                    surplus[donor] -= count
                    lack[receiver] -= count
        return Route(self.queue, tuple((carrier, 1) for carrier in places), self.by)


def route_of(queue: str, weights: Mapping[str, int], by: str = "") -> Route:
    """Return the route of weights (whole percent, sum 100): one run a carrier, in the order of names.

    ValueError when they do not add up.
    """
    return Route(queue, tuple((name, count) for name, count in sorted(weights.items()) if count), by)


def place_of_id(job_id: str) -> int:
    """Return the place of a job that nothing but its id tells from others, in any queue: 0 to 99."""
    return crc32(job_id.encode(errors="surrogatepass")) * PLACES >> 32


def moved(old: Route, new: Route) -> int:
    """Return the percentage of a queue's jobs that the new route places on another carrier; 100 at most, 0 at least.

    Where the two look at different texts (`by`), places mean different jobs: then it is the most that can move.
    """
    if old.by != new.by:
        return 0 if old.only is not None and old.only == new.only else PLACES
    return sum(a != b for a, b in zip(_expanded(old.runs), _expanded(new.runs), strict=True))


def _expanded(runs: Runs) -> list[str]:
    return [carrier for carrier, count in runs for _ in range(count)]


def _joined(runs: Iterable[tuple[str, int]]) -> Runs:
    joined: list[tuple[str, int]] = []
    for carrier, count in runs:
        if joined and joined[-1][0] == carrier:
            joined[-1] = (carrier, joined[-1][1] + count)
        else:
            joined.append((carrier, count))
    return tuple(joined)
