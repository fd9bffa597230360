"""Headway: background jobs that are written once and carried by SQLite, Redis, or whatever fits later.

```python
from headway import Headway, Retry

app = Headway("shop")


@app.task(queue="email", retry=Retry(max_attempts=5))
async def send_welcome(user_id: int) -> str: ...
```
"""

from headway.app import Headway
from headway.context import Context
from headway.errors import Discard, HeadwayError, RetryLater
from headway.handle import JobHandle, SyncJobHandle
from headway.info import JobInfo, QueueInfo
from headway.job import JobState
from headway.retry import Retry
from headway.schedule import CatchUp
from headway.task import Task
from headway.unique import Unique

__version__ = "0.1.0"

__all__ = [
    "CatchUp",
    "Context",
    "Discard",
    "Headway",
    "HeadwayError",
    "JobHandle",
    "JobInfo",
    "JobState",
    "QueueInfo",
    "Retry",
    "RetryLater",
    "SyncJobHandle",
    "Task",
    "Unique",
    "__version__",
]
