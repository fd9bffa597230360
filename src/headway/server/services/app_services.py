"""All services of one app, together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.server.services.acts import Acts
from headway.server.services.changing import Changing
from headway.server.services.creating import Creating
from headway.server.services.failures import FailuresService
from headway.server.services.figures import FiguresService
from headway.server.services.http_jobs import HttpJobs
from headway.server.services.job_acts import JobActs
from headway.server.services.jobs import Jobs
from headway.server.services.key_acts import KeyActs
from headway.server.services.migrations import Migrations
from headway.server.services.queues import Queues
from headway.server.services.records import RecordsService
from headway.server.services.rollouts import Rollouts
from headway.server.services.routes import Routes
from headway.server.services.schedules import Schedules
from headway.server.services.shared import Shared
from headway.server.services.spool import SpoolService
from headway.server.services.tasks import Tasks
from headway.server.services.workers import Workers

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.records.store import RecordStore
    from headway.server.access.audit import Audit
    from headway.server.access.keyring import Keyring
    from headway.server.store.database import Database


class AppServices:
    """What can be asked of an app and done to it. The app must be open on the running loop."""

    def __init__(
        self,
        app: Headway,
        database: Database,
        audit: Audit,
        keyring: Keyring,
        records: RecordStore | None = None,
    ) -> None:
        """`records` are open, where the app keeps them."""
        self.app = app
        self.audit = audit
        shared = Shared(app, database, audit)
        self.shared = shared
        self.jobs = Jobs(shared)
        self.creating = Creating(shared)
        self.job_acts = JobActs(shared)
        self.changing = Changing(shared)
        self.queues = Queues(shared)
        self.schedules = Schedules(shared, self.creating)
        self.http_jobs = HttpJobs(shared, self.creating)
        self.records = RecordsService(shared, records)
        self.workers = Workers(shared)
        self.routes = Routes(shared)
        self.rollouts = Rollouts(shared, self.routes)
        self.migrations = Migrations(shared)
        self.figures = FiguresService(shared)
        self.spool = SpoolService(shared)
        self.tasks = Tasks(shared)
        self.failures = FailuresService(shared)
        self.keys = KeyActs(keyring, audit)
        self.acts = Acts(shared)
