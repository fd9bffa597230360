"""The protocols between Headway and its carriers; nothing else. A driver is written against this, and nothing besides.

`broker` is what every carrier does, `pull` and `push` are the two ways to hand out jobs, `inspect` is what is asked
from outside, `optional` what some can, `carrier` puts them together and says what each can; `settings` and `reports`
are values.

Batches everywhere; no client object, key or SQL crosses this line. Instants and durations are whole milliseconds.
Two decisions of this interface are argued in `docs/explanation/design.md`:

- A lease is held by *worker*: one heartbeat keeps all that a worker holds, and the epoch of each job is the fence.
- `tend` takes the jobs of dead workers back to the head of their queue under the next epoch, with one crash more; the
  policy (poison cap, retries) runs in the executor of the worker that claims them next.
"""

from __future__ import annotations

from headway.brokers.base.broker import Broker, CancelResult, Enqueued
from headway.brokers.base.carrier import Capabilities, Carrier, PushCarrier, Store
from headway.brokers.base.inspect import (
    KEPT_DELETED_MS,
    Inspector,
    JobPage,
    JobQuery,
    MadeSchedule,
    QueueCounts,
    ScheduleRecord,
    ScheduleStore,
    WorkerRecord,
)
from headway.brokers.base.optional import (
    BlockingStore,
    Connected,
    ControlStore,
    FiguresStore,
    KeyIndex,
    Mover,
    Starter,
    Traffic,
)
from headway.brokers.base.pull import (
    CancelRequested,
    Claimed,
    DrainRequested,
    Handed,
    Heartbeat,
    LeaseLost,
    PullBroker,
    QueueWant,
    Settlement,
    Signal,
    Tended,
    Wake,
)
from headway.brokers.base.push import (
    BodySums,
    FireCall,
    GuardStats,
    LeaseState,
    PushBroker,
    PushRequest,
    PushResponse,
)
from headway.brokers.base.reports import LogLine, Progress, Report, SettleResult
from headway.brokers.base.settings import BrokerSettings, Retention

__all__ = [
    "KEPT_DELETED_MS",
    "BlockingStore",
    "BodySums",
    "Broker",
    "BrokerSettings",
    "CancelRequested",
    "CancelResult",
    "Capabilities",
    "Carrier",
    "Claimed",
    "Connected",
    "ControlStore",
    "DrainRequested",
    "Enqueued",
    "FiguresStore",
    "FireCall",
    "GuardStats",
    "Handed",
    "Heartbeat",
    "Inspector",
    "JobPage",
    "JobQuery",
    "KeyIndex",
    "LeaseLost",
    "LeaseState",
    "LogLine",
    "MadeSchedule",
    "Mover",
    "Progress",
    "PullBroker",
    "PushBroker",
    "PushCarrier",
    "PushRequest",
    "PushResponse",
    "QueueCounts",
    "QueueWant",
    "Report",
    "Retention",
    "ScheduleRecord",
    "ScheduleStore",
    "SettleResult",
    "Settlement",
    "Signal",
    "Starter",
    "Store",
    "Tended",
    "Traffic",
    "Wake",
    "WorkerRecord",
]
