"""What `headway worker tests.faults.app:app` loads; settings come from HEADWAY_* variables."""

from __future__ import annotations

import os

from tests.faults.deadly import at_import
from tests.faults.jobs import EVENTS, NAMESPACE, QUEUES, build
from tests.faults.soak_jobs import declare_soak

at_import()
app = declare_soak(
    build(
        os.environ[NAMESPACE],
        queues=int(os.environ.get(QUEUES, "0")),
        record_events=os.environ.get(EVENTS, "on") == "on",
    )
)
