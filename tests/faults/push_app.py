"""What `headway push tests.faults.push_app:app` loads: the fault tests' handlers, the guard's store under a witness."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headway.brokers.cloudtasks import broker
from headway.guards.url import from_url
from tests.faults.jobs import NAMESPACE, build
from tests.faults.push_witness import WITNESS, WitnessedStore
from tests.faults.soak_jobs import declare_soak

if TYPE_CHECKING:
    from headway.guards.base import GuardStore


def _witnessed(url: str, *, namespace: str) -> GuardStore:
    return WitnessedStore(from_url(url, namespace=namespace), os.environ[WITNESS])


broker.from_url = _witnessed  # type: ignore[attr-defined]  # its own import of it
app = declare_soak(build(os.environ[NAMESPACE]))
