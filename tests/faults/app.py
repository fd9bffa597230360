"""What `headway worker tests.faults.app:app` loads; settings come from HEADWAY_* variables."""

from __future__ import annotations

import os

from tests.faults.jobs import NAMESPACE, QUEUES, build

app = build(os.environ[NAMESPACE], queues=int(os.environ.get(QUEUES, "0")))
