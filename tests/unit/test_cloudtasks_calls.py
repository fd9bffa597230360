"""Calls of the API that fail: which are repeated, what each error says, and that it names what is missing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest
from google.api_core import exceptions as api_exceptions
from google.auth import exceptions as auth_exceptions

from headway.brokers.cloudtasks.api.calls import Calls
from headway.brokers.cloudtasks.api.errors import failure_of
from headway.brokers.cloudtasks.api.resources import TaskSpec
from headway.brokers.cloudtasks.location import Location
from headway.errors import BrokerRefusedError, BrokerUnavailableError

if TYPE_CHECKING:
    from headway.brokers.cloudtasks.api.client import Api

google: Any = api_exceptions  # their constructors have no types
auth: Any = auth_exceptions
_SPEC = TaskSpec("t", "https://receiver.example/", {}, b"body", None, 15_000)
_ACT_AS = "The principal lacks IAM permission 'iam.serviceAccounts.actAs' for the resource"


class _FakeApi:
    """Fails as it is told, then works; notes what was called."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = deque(failures)
        self.calls: list[str] = []
        self.closed = 0

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.failures:
            raise self.failures.popleft()

    async def create_task(self, queue_id: str, spec: TaskSpec) -> None:
        await self._call(f"create_task {queue_id}")

    async def create_queue(self, queue_id: str) -> None:
        await self._call(f"create_queue {queue_id}")

    async def get_task(self, queue_id: str, task_id: str) -> None:
        await self._call("get_task")

    async def delete_task(self, queue_id: str, task_id: str) -> None:
        await self._call("delete_task")

    async def pause_queue(self, queue_id: str) -> None:
        await self._call("pause_queue")

    async def list_queues(self) -> list[Any]:
        await self._call("list_queues")
        return []

    async def close(self) -> None:
        self.closed += 1


def _calls(api: _FakeApi, *, create_queues: bool = False, patience_s: float = 5.0) -> Calls:
    async def connect(location: Location) -> Api:
        return cast("Api", api)

    location = Location("p1", "here", create_queues=create_queues)
    return Calls(location, service_account="sa@p1.example", connect=connect, patience_s=patience_s)


@pytest.mark.parametrize(
    "error",
    [
        google.ServiceUnavailable("gone"),
        google.DeadlineExceeded("slow"),
        google.ResourceExhausted("quota"),
        google.InternalServerError("oops"),
        google.Aborted("again"),
        auth.TransportError("the metadata server does not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_passes_is_repeated(error: Exception) -> None:
    api = _FakeApi(error, error)
    assert await _calls(api).create_task("shop-q", _SPEC) is True
    assert api.calls == ["create_task shop-q"] * 3


async def test_patience_ends() -> None:
    api = _FakeApi(*[google.ServiceUnavailable("connection refused")] * 1000)
    with pytest.raises(BrokerUnavailableError, match=r"shop-q.*UNAVAILABLE.*connection refused.*safe"):
        await _calls(api, patience_s=0.2).create_task("shop-q", _SPEC)
    assert len(api.calls) > 1


async def test_a_lost_answer_is_found_accepted() -> None:
    """The first call was applied and its answer lost; the repeated one meets the task by its name."""
    api = _FakeApi(google.ServiceUnavailable("lost"), google.AlreadyExists("there"))
    assert await _calls(api).create_task("shop-q", _SPEC) is False


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (google.PermissionDenied("no"), r"shop-q.*cloudtasks\.tasks\.create.*headway gcp apply"),
        (google.PermissionDenied(_ACT_AS), r"iam\.serviceAccounts\.actAs on sa@p1\.example"),
        (google.NotFound("Queue does not exist."), r"shop-q.*headway gcp apply.*create_queues=1"),
        (google.Unauthenticated("bad token"), "application-default login"),
        (auth.RefreshError("invalid_grant"), "application-default login"),
        (
            google.ServiceUnavailable("Getting metadata from plugin failed with error: Reauthentication is needed"),
            "application-default login",
        ),
        (google.FailedPrecondition("queue was deleted recently"), "shop-q.*deleted"),
        (google.InvalidArgument("Task size too large"), "INVALID_ARGUMENT.*Task size too large"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_is_missing_and_is_not_repeated(error: Exception, words: str) -> None:
    api = _FakeApi(error)
    with pytest.raises(BrokerRefusedError, match=words) as caught:
        await _calls(api).create_task("shop-q", _SPEC)
    assert len(api.calls) == 1
    assert caught.value.__cause__ is error
    assert "cloudtasks://p1/here" in str(caught.value)


async def test_what_may_have_been_applied_is_said_to_be_so() -> None:
    with pytest.raises(BrokerUnavailableError, match="may have been applied"):
        await _calls(_FakeApi(google.Unknown("?"))).create_task("shop-q", _SPEC)


async def test_a_missing_queue_is_created_where_that_is_allowed() -> None:
    api = _FakeApi(google.NotFound("no queue"))
    assert await _calls(api, create_queues=True).create_task("shop-q", _SPEC) is True
    assert api.calls == ["create_task shop-q", "create_queue shop-q", "create_task shop-q"]


async def test_a_queue_that_somebody_else_created_meanwhile_is_used() -> None:
    api = _FakeApi(google.NotFound("no queue"), google.AlreadyExists("queue"))
    assert await _calls(api, create_queues=True).create_task("shop-q", _SPEC) is True


async def test_a_queue_that_stays_missing_is_not_created_for_ever() -> None:
    api = _FakeApi(*[google.NotFound("no"), google.AlreadyExists("yes")] * 10)
    with pytest.raises(BrokerRefusedError, match="shop-q"):
        await _calls(api, create_queues=True).create_task("shop-q", _SPEC)


async def test_what_is_not_there_is_no_error_for_whoever_looks() -> None:
    assert await _calls(_FakeApi(google.NotFound("no"))).get_task("shop-q", "t") is None
    assert await _calls(_FakeApi(google.NotFound("no"))).pause_queue("shop-q") is False
    await _calls(_FakeApi(google.NotFound("no"))).delete_task("shop-q", "t")


async def test_each_act_names_its_own_right() -> None:
    with pytest.raises(BrokerRefusedError, match=r"cloudtasks\.queues\.list"):
        await _calls(_FakeApi(google.PermissionDenied("no"))).list_queues()
    with pytest.raises(BrokerRefusedError, match=r"cloudtasks\.queues\.pause"):
        await _calls(_FakeApi(google.PermissionDenied("no"))).pause_queue("shop-q")


async def test_a_mistake_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        await _calls(_FakeApi(ZeroDivisionError())).list_queues()


async def test_the_client_is_made_once_and_again_after_a_close() -> None:
    api = _FakeApi()
    calls = _calls(api)
    await calls.close()
    assert api.closed == 0
    await calls.list_queues()
    await calls.list_queues()
    await calls.close()
    await calls.close()
    assert api.closed == 1
    await calls.list_queues()


def test_errors_of_grpc_itself_are_read_as_well() -> None:
    class _RpcError(Exception):
        def code(self) -> object:
            return google.ServiceUnavailable.grpc_status_code

        def details(self) -> str:
            return "connection reset"

    failure = failure_of(_RpcError())
    assert failure is not None
    assert (failure.status, failure.message, failure.transient) == ("UNAVAILABLE", "connection reset", True)
    assert failure_of(ValueError()) is None
