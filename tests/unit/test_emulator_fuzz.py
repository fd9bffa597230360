"""Whatever is sent to the emulator's REST port, it answers what the API may answer, and never an internal error."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.emulator.rest import application, routes
from headway.emulator.server import Emulator
from headway.testing import FakeClock

if TYPE_CHECKING:
    from starlette.applications import Starlette

MASKS = [
    "rateLimits", "rate_limits.max_burst_size", "rateLimits.maxDispatchesPerSecond", "retryConfig.maxDoublings", "retryConfig",
    "retryConfig.minBackoff.seconds", "httpTarget", "httpTarget.uriOverride.port", "httpTarget.headerOverrides", "state", "*",
    "stackdriverLoggingConfig.samplingRatio", "httpTarget.oidcToken.audience", "httpTarget.headerOverrides.header", "x", "",
]  # fmt: skip
UNTIMED = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
LOCATION = "projects/p/locations/l"
QUEUE = f"{LOCATION}/queues/q"
TASK = f"{QUEUE}/tasks/t"

FIELDS = [
    "name", "queue", "task", "requests", "names", "requestId", "parent", "rateLimits", "maxDispatchesPerSecond",
    "maxBurstSize", "maxConcurrentDispatches", "retryConfig", "maxAttempts", "maxRetryDuration", "minBackoff", "maxBackoff",
    "maxDoublings", "httpTarget", "uriOverride", "scheme", "host", "port", "pathOverride", "path", "headerOverrides", "header",
    "key", "value", "httpRequest", "url", "httpMethod", "headers", "body", "oidcToken", "oauthToken", "serviceAccountEmail",
    "scheduleTime", "dispatchDeadline", "responseView", "view", "state", "purgeTime", "stackdriverLoggingConfig",
    "samplingRatio", "policy", "bindings", "members", "etag", "version", "permissions", "options", "lastAttempt",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([
        QUEUE, TASK, "10s", "-1s", "315576000000s", "0.1s", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z", "now",
        "http://x/", "https://[::1]:8/ä", "http://x:port", "http://[", "//x", "GET", "POST", "HTTP_METHOD_UNSPECIFIED", "FULL",
        "aGk=", "NaN", "Infinity", "1e400", "-1", "70000", "IF_NOT_EXISTS",
    ]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=5)), inner, max_size=5),
    ),
    max_leaves=12,
)


def some(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields)


# Of the right types, so that they come through to what the emulator itself must check.
WHOLE = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, -1, 5, 100])
NUMBER = st.floats() | st.sampled_from([0, 1, 500, 501, "NaN", "-Infinity"])
TIME = st.sampled_from(
    [
        "9999-12-31T23:59:59.999999999Z",
        "0001-01-01T00:00:00Z",
        "2027-01-15T09:00:00.5Z",
        "1970-01-01T00:00:00Z",
    ]
)
SPAN = st.sampled_from(
    ["0s", "10s", "-1s", "-315576000000s", "315576000000s", "0.0001s", "1800s", "0.000000001s"]
)
TOKEN = some(serviceAccountEmail=st.text(max_size=5), audience=st.text(max_size=5))
RETRY = some(maxAttempts=WHOLE, maxRetryDuration=SPAN, minBackoff=SPAN, maxBackoff=SPAN, maxDoublings=WHOLE)
METHOD = st.sampled_from(["GET", "POST", "PATCH", "OPTIONS", "HTTP_METHOD_UNSPECIFIED"])
TARGET = some(
    uriOverride=some(
        scheme=st.sampled_from(["HTTP", "HTTPS", "SCHEME_UNSPECIFIED"]),
        host=st.text(max_size=4),
        port=st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 80]),
        pathOverride=some(path=st.text(max_size=4)),
        queryOverride=some(queryParams=st.text(max_size=4)),
        uriOverrideEnforceMode=st.sampled_from(["IF_NOT_EXISTS", "ALWAYS"]),
    ),
    httpMethod=METHOD,
    headerOverrides=st.lists(
        some(header=some(key=st.text(max_size=4), value=st.text(max_size=4))), max_size=2
    ),
    oidcToken=TOKEN,
)
REQUESTS = some(
    url=st.sampled_from(
        ["http://x/", "http://[", "http://x:99999/", "https://ä/", "http://", "http://x:/", "http://\x00/"]
    ),
    body=st.sampled_from(["aGk=", ""]),
    httpMethod=METHOD,
    headers=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
    oidcToken=TOKEN,
)
TASKS = some(
    httpRequest=REQUESTS,
    scheduleTime=TIME,
    dispatchDeadline=SPAN,
    retryConfig=RETRY,
    name=st.sampled_from([TASK, f"{QUEUE}/tasks/new", f"{QUEUE}/tasks/", "x", ""]),
    lastAttempt=some(scheduleTime=TIME),
)
QUEUES = some(
    name=st.sampled_from([QUEUE, f"{LOCATION}/queues/new", "x", ""]),
    rateLimits=some(maxDispatchesPerSecond=NUMBER, maxConcurrentDispatches=WHOLE, maxBurstSize=WHOLE),
    retryConfig=RETRY,
    httpTarget=TARGET,
    stackdriverLoggingConfig=some(samplingRatio=NUMBER),
    state=st.sampled_from(["PAUSED", "DISABLED"]),
    purgeTime=TIME,
)
BODIES = st.one_of(
    st.binary(max_size=30),
    VALUES.map(lambda value: json.dumps(value).encode()),
    QUEUES.map(lambda queue: json.dumps(queue).encode()),
)
PATHS = st.one_of(
    st.sampled_from([
        LOCATION, QUEUE, TASK, f"{LOCATION}/queues", f"{QUEUE}/tasks", f"{QUEUE}/tasks:batchCreate", f"{QUEUE}/tasks:batchDelete",
        f"{QUEUE}:pause", f"{QUEUE}:resume", f"{QUEUE}:purge", f"{TASK}:run", f"{QUEUE}:getIamPolicy", f"{QUEUE}:setIamPolicy",
        f"{QUEUE}:testIamPermissions", f"{QUEUE}/tasks:buffer", f"{QUEUE}/tasks/new:buffer", "projects/p/locations", f"{LOCATION}/operations/x",
    ]),
    st.text(max_size=30),
)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from(["pageSize", "pageToken", "updateMask", "update_mask", "responseView", "filter", "alt", "$alt", "x"]),
    st.one_of(
        st.text(max_size=10),
        st.sampled_from(["rateLimits", "retry_config.max_doublings", "httpTarget.uriOverride.port", "*", "state:PAUSED", "-1", "2", "json;enum-encoding=int"]),
    ),
    max_size=3,
)  # fmt: skip


def served() -> tuple[Emulator, Starlette]:
    emulator = Emulator(clock=FakeClock(), automatic=False)
    return emulator, application(list(routes(emulator.rest_operations(), emulator.dice, emulator.journal)))


async def ask(method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
    emulator, app = served()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://emulator/v2/"
    ) as client:
        for made, what in (
            (f"{LOCATION}/queues", {"name": QUEUE}),
            (f"{QUEUE}/tasks", {"task": {"name": TASK, "httpRequest": {"url": "http://x"}}}),
        ):
            assert (await client.post(made, json=what)).status_code == 200
        answer = await client.request(
            method,
            re.sub(r"^[/\\]+", "", path) or QUEUE,
            params=query,
            content=body,
            headers={"content-type": "application/json"},
        )
        await emulator.dispatcher.close()
        return answer.status_code, answer.json() if answer.headers.get(
            "content-type"
        ) == "application/json" else None


def check(method: str, path: str, query: dict[str, str], body: bytes) -> None:
    status, answer = asyncio.run(ask(method, path, query, body))
    assert status in {200, 400, 404, 405, 409}, answer
    if status not in {200, 405} and answer is not None:
        assert answer["error"]["code"] == status


@UNTIMED
@given(st.sampled_from(["GET", "POST", "PATCH", "DELETE"]), PATHS, QUERIES, BODIES)
def test_no_request_is_an_internal_error(method: str, path: str, query: dict[str, str], body: bytes) -> None:
    try:
        httpx.URL("http://emulator/v2/").join(path)
    except httpx.InvalidURL:
        path = QUEUE
    check(method, path, query, body)


@UNTIMED
@given(st.lists(TASKS, min_size=1, max_size=3))
def test_no_task_is_an_internal_error(tasks: list[Any]) -> None:
    check("POST", f"{QUEUE}/tasks", {}, json.dumps({"task": tasks[0]}).encode())
    batch = {"requests": [{"parent": QUEUE, "task": task, "responseView": "FULL"} for task in tasks]}
    check("POST", f"{QUEUE}/tasks:batchCreate", {}, json.dumps(batch).encode())


@UNTIMED
@given(QUEUES, st.lists(st.sampled_from(MASKS), max_size=3))
def test_no_queue_is_an_internal_error(queue: Any, mask: list[str]) -> None:
    body = json.dumps(queue).encode()
    check("POST", f"{LOCATION}/queues", {}, body)
    check("PATCH", QUEUE, {"updateMask": ",".join(mask)} if mask else {}, body)
