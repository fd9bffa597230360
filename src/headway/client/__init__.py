"""A client of the REST API, for programs that have not the app's code: `Client`, and its blocking twin `SyncClient`."""

from __future__ import annotations

from headway.client.client import Client
from headway.client.errors import ApiError, ApiUnavailableError
from headway.client.sync import SyncClient
from headway.client.values import (
    Acted,
    BulkCreated,
    BulkItem,
    Created,
    Event,
    Job,
    JobPage,
    Queue,
    Result,
)

__all__ = [
    "Acted",
    "ApiError",
    "ApiUnavailableError",
    "BulkCreated",
    "BulkItem",
    "Client",
    "Created",
    "Event",
    "Job",
    "JobPage",
    "Queue",
    "Result",
    "SyncClient",
]
