"""Jobs that carry what those of real programs do: an object, not a text. Bulk, single enqueues, then a drain of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.measure.base import Reading
from bench.scene import Scene
from bench.tally import steady_rate, times_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure.base import Subject

RECORD: Final[dict[str, Any]] = {
    "user_id": 1234567,
    "email": "someone@example.com",
    "template": "order-shipped",
    "locale": "de-CH",
    "subject": "Your order is on its way to you",
    "amount": 119.95,
    "reference": "0af7651916cd43dd8448eb211c80319cb7ad6b716920333100f067aa0ba902b7",
}
"""Seven keys, about 207 bytes with the number and the framing of a job."""

NESTED: Final[dict[str, Any]] = {
    "order": {
        "id": 1234567,
        "lines": [
            {"sku": f"sku-{n:06}", "count": n, "price": 1.5 * n, "tags": ["new", "sale"], "note": "x" * 40}
            for n in range(8)
        ],
        "customer": {
            "name": "Someone Else",
            "email": "someone@example.com",
            "address": {"street": "Main Street 12", "city": "Zurich", "zip": "8000"},
        },
    },
    "meta": {"source": "web", "trace": RECORD["reference"][:32], "flags": [True, False, None]},
}
"""About 1 KB, of 60 values in 4 levels."""

_SECONDS: Final = 1.5
_SINGLE_SECONDS: Final = 0.5
_PATIENCE: Final = 90.0


def payload(kind: str, carried: dict[str, Any]) -> Callable[[Subject], Reading]:
    """Return the measurement of jobs that carry the object, which Headway's task takes as a parameter of this kind."""

    def measure(subject: Subject) -> Reading:
        size = subject.size(_SECONDS)
        most = size + subject.size(_SINGLE_SECONDS)
        with Scene(subject.peer, subject.environment, most, feature=kind) as scene:
            producer = scene.producer()
            bulk = producer.load("bulk", first=0, count=size, text=carried)
            single = producer.load(
                "single", first=size, count=most - size, seconds=_SINGLE_SECONDS, text=carried
            )
            producer.stop()
            scene.wait_quiet()
            jobs = range(size + single["count"])
            scene.start_workers()
            scene.wait_for(jobs, _PATIENCE)
            rate = steady_rate(times_of(scene.finish(jobs), jobs))
        return Reading(
            {
                f"bulk-{kind}": size / bulk["seconds"],
                f"single-{kind}": single["count"] / single["seconds"],
                f"drain-{kind}": rate,
            },
            len(jobs),
        )

    return measure
