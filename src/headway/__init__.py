"""Headway: background jobs that are written once and carried by SQLite, Redis, or whatever fits later.

```python
from headway import Headway, Retry

app = Headway("shop")


@app.task(queue="email", retry=Retry(max_attempts=5))
async def send_welcome(user_id: int) -> str: ...
```
"""

from typing import TYPE_CHECKING, Any

from headway.app.app import Headway
from headway.app.context import Context
from headway.app.handle import JobHandle, SyncJobHandle
from headway.app.lifespan import Resource, Resources
from headway.app.middleware import EnqueueCall, JobCall, Proceed
from headway.app.task import Task
from headway.app.unique import Unique
from headway.errors import Discard, HeadwayError, RetryLater
from headway.job import JobState
from headway.retry import Retry
from headway.schedules.schedule import CatchUp

if TYPE_CHECKING:
    from headway.app.info import JobInfo, QueueInfo
    from headway.app.scheduleinfo import ScheduleInfo

__version__ = "0.1.0"

__all__ = [
    "CatchUp",
    "Context",
    "Discard",
    "EnqueueCall",
    "Headway",
    "HeadwayError",
    "JobCall",
    "JobHandle",
    "JobInfo",
    "JobState",
    "Proceed",
    "QueueInfo",
    "Resource",
    "Resources",
    "Retry",
    "RetryLater",
    "ScheduleInfo",
    "SyncJobHandle",
    "Task",
    "Unique",
    "__version__",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names below
    """Load what is seldom named by anybody when it is."""
    if name in {"JobInfo", "QueueInfo"}:
        from headway.app import info  # noqa: PLC0415 - not before it is asked for

        return getattr(info, name)
    if name == "ScheduleInfo":
        from headway.app.scheduleinfo import ScheduleInfo  # noqa: PLC0415 - as above

        return ScheduleInfo
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
