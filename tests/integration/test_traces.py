"""A job's trace goes on in each of its attempts, also when it is moved from a carrier that is pulled to one that pushes."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headway import Discard, Headway, Retry, RetryLater
from headway.emulator.credentials import Credentials
from headway.emulator.server import Emulator
from headway.push import receiver
from headway.runtime.logs import _JsonFormatter
from headway.runtime.worker import Worker
from headway.telemetry.otel import instrument
from headway.testing import inline
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

DEADLINE = 30.0


@pytest.fixture
def finished() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(finished: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(finished))
    return made


@asynccontextmanager
async def listening(app: Headway, port: int) -> AsyncIterator[None]:
    """A receiver of the app on a port, in this process."""
    async with receiver(app, handle_sigterm=False) as pushed:
        server = uvicorn.Server(uvicorn.Config(pushed, port=port, lifespan="off", log_config=None, ws="none"))
        serving = asyncio.create_task(server.serve())
        yield
        server.should_exit = True
        await serving


def _of(spans: tuple[ReadableSpan, ...], kind: SpanKind) -> list[ReadableSpan]:
    return sorted((span for span in spans if span.kind is kind), key=lambda span: span.start_time or 0)


async def test_one_trace_over_redis_and_a_retry_on_cloud_tasks(
    redis_url: str, namespace: str, tmp_path: Path, provider: TracerProvider, finished: InMemorySpanExporter
) -> None:
    port = free_port()
    async with Emulator(credentials=Credentials(secret=b"shared")) as emulator:
        app = Headway(
            namespace,
            carriers={
                "main": redis_url,
                "push": f"cloudtasks://p1/here?emulator={emulator.grpc_address}",
            },
            guard=f"sqlite:///{tmp_path}/guard.db",
            target=f"http://127.0.0.1:{port}/",
            push_secret="shared",
        )
        instrument(app, provider)

        @app.task(name="charge", retry=Retry.after(3600))
        async def charge() -> str:
            if len(ran) == 0:
                ran.append("main")
                raise ConnectionError
            return "paid"

        ran: list[str] = []
        tracer = provider.get_tracer("web")
        async with app:
            with tracer.start_as_current_span("POST /orders") as request:
                job = await charge.enqueue()
            worker = Worker(app, carriers=["main"])
            working = asyncio.create_task(worker.run())
            async with asyncio.timeout(DEADLINE):
                while await job.status() != "scheduled":  # noqa: ASYNC110 - the carrier tells nobody
                    await asyncio.sleep(0.02)
            worker.stop()
            await working
            main, push = app.carriers["main"], app.carriers["push"]
            assert main.capabilities.mover is not None
            [record] = await main.capabilities.mover.withdraw([job.id], "moved to push")
            assert record is not None
            async with listening(app, port):
                await push.enqueue([record.as_new()])
                await main.remove([job.id])
                await push.promote([job.id])
                assert await job.result(timeout=DEADLINE) == "paid"
    spans = finished.get_finished_spans()
    [sent] = _of(spans, SpanKind.PRODUCER)
    first, second = _of(spans, SpanKind.CONSUMER)
    assert {span.context.trace_id for span in spans if span.context} == {request.get_span_context().trace_id}
    assert sent.parent is not None
    assert sent.context is not None
    assert sent.parent.span_id == request.get_span_context().span_id
    for number, span in enumerate((first, second), start=1):
        assert span.parent is not None
        assert span.attributes is not None
        assert span.parent.span_id == sent.context.span_id
        assert [link.context.span_id for link in span.links] == [sent.context.span_id]
        assert span.name == "process default"
        assert span.attributes["messaging.message.id"] == job.id
        assert span.attributes["headway.attempt"] == number
        assert span.attributes["messaging.system"] == "headway"
        assert span.attributes["messaging.operation.type"] == "process"
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert first.attributes is not None
    assert first.attributes["error.type"] == "ConnectionError"
    assert [event.name for event in first.events] == ["exception"]


async def test_what_is_no_error_is_none_in_the_trace(
    tmp_path: Path, provider: TracerProvider, finished: InMemorySpanExporter
) -> None:
    app = Headway("traced", url=f"sqlite:///{tmp_path / 'unused.db'}")
    instrument(app, provider)
    asked: list[int] = []

    @app.task(name="later")
    async def later() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise RetryLater(1)
        reason = "not wanted"
        raise Discard(reason)

    async with inline(app) as box:
        await later.enqueue()
        await box.run_until_idle(skip_delays=True, raise_errors=False)
    spans = _of(finished.get_finished_spans(), SpanKind.CONSUMER)
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET] * 2


def test_a_line_of_the_log_has_the_ids_of_its_trace(provider: TracerProvider) -> None:
    record = logging.makeLogRecord({"name": "shop", "levelname": "INFO", "msg": "charged"})
    formatter = _JsonFormatter()
    assert "trace_id" not in json.loads(formatter.format(record))
    with provider.get_tracer("web").start_as_current_span("POST /orders") as span:
        line = json.loads(formatter.format(record))
    context = span.get_span_context()
    assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
