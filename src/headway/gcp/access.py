"""How each API is reached: Google's own endpoints with the default credentials, or emulators without any."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, cast

import google.auth
import grpc.aio  # type: ignore[import-untyped]
from google.api_core import grpc_helpers_async
from google.auth.exceptions import GoogleAuthError

from headway.gcp.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

# These are partly unknown to type checkers.
_auth = cast("Untyped", google.auth)
_grpc = cast("Untyped", grpc_helpers_async)

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TASKS: Final = "cloudtasks.googleapis.com"
SCHEDULER: Final = "cloudscheduler.googleapis.com"
PUBSUB: Final = "pubsub.googleapis.com"
RUN: Final = "run.googleapis.com"
IAM: Final = "iam.googleapis.com"
PROJECTS: Final = "cloudresourcemanager.googleapis.com"
_VARIABLES: Final = {
    TASKS: "CLOUD_TASKS_EMULATOR_HOST",
    SCHEDULER: "CLOUD_SCHEDULER_EMULATOR_HOST",
    PUBSUB: "PUBSUB_EMULATOR_HOST",
    RUN: "CLOUD_RUN_EMULATOR_HOST",
    IAM: "IAM_EMULATOR_HOST",
    PROJECTS: "RESOURCE_MANAGER_EMULATOR_HOST",
}


class Access:
    """Opens one channel for each API that is asked for, and closes them all."""

    def __init__(self, place: Place, environ: Mapping[str, str] | None = None) -> None:
        """Find the emulators; nothing is opened yet."""
        environ = os.environ if environ is None else environ
        self._emulators = {
            api: host for api, variable in _VARIABLES.items() if (host := environ.get(variable))
        }
        if place.emulator:
            self._emulators[TASKS] = place.emulator
        if TASKS in self._emulators:
            # Headway's emulator serves both on one port.
            self._emulators.setdefault(SCHEDULER, self._emulators[TASKS])
        self._credentials: Untyped = None
        self._channels: dict[str, grpc.aio.Channel] = {}

    def offers(self, *apis: str) -> bool:
        """Tell whether these can be asked: where some are emulated, Google is never asked for the others."""
        return not self._emulators or all(api in self._emulators for api in apis)

    async def channel(self, api: str) -> grpc.aio.Channel:
        """Return the channel to an API; CloudError when there are no credentials."""
        if api not in self._channels:
            host = self._emulators.get(api)
            if host is not None:
                options = [("grpc.enable_http_proxy", 0)]
                self._channels[api] = grpc.aio.insecure_channel(host.removeprefix("http://"), options=options)
            else:
                self._channels[api] = _grpc.create_channel(
                    f"{api}:443", credentials=await self._google(), scopes=[_SCOPE]
                )
        return self._channels[api]

    async def close(self) -> None:
        """Close all channels."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def _google(self) -> Untyped:
        if self._credentials is None:
            try:
                # It may read files and ask the metadata server.
                self._credentials, _ = await asyncio.to_thread(_auth.default, scopes=[_SCOPE])
            except GoogleAuthError as error:
                msg = (
                    f"there are no Google credentials ({error}): run `gcloud auth application-default login`"
                )
                raise CloudError(msg) from error
        return self._credentials
