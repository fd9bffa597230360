"""Jobs in traces: the trace of the enqueuer goes on in each attempt, on whichever carrier; OpenTelemetry.

```
from headway.telemetry.otel import instrument

instrument(app)
```

Enqueueing is a span of kind PRODUCER, `send QUEUE`; its context travels in the job's headers, as W3C has it. Each
attempt is one of kind CONSUMER, `process QUEUE`: a child of that span, so that one trace has them all, and linked to
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from headway.errors import Discard, RetryLater

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from headway.app.app import Headway
    from headway.app.middleware import EnqueueCall, JobCall, Proceed

_SYSTEM: Final = "headway"


def instrument(app: Headway, provider: TracerProvider | None = None) -> None:
    """Give the jobs of an app spans; call it once, before the app's other middleware. None: the global provider."""
    tracer = trace.get_tracer("headway", tracer_provider=provider)

    @app.on_enqueue
    def send(call: EnqueueCall) -> None:
        attributes: dict[str, Any] = {
            "messaging.system": _SYSTEM,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": call.queue,
            "headway.task": call.task,
        }
        if call.schedule is not None:
            attributes["headway.schedule"] = call.schedule
        with tracer.start_as_current_span(
            f"send {call.queue}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            propagate.inject(call.headers)

    @app.middleware
    async def process(call: JobCall, proceed: Proceed) -> Any:  # noqa: ANN401 - what the handler returns
        sent = propagate.extract(dict(call.headers))
        context = trace.get_current_span(sent).get_span_context()
        attributes: dict[str, Any] = {
            "messaging.system": _SYSTEM,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": call.queue,
            "messaging.message.id": call.job_id,
            "headway.task": call.task,
            "headway.attempt": call.attempt,
        }
        with tracer.start_as_current_span(
            f"process {call.queue}",
            sent,
            SpanKind.CONSUMER,
            attributes,
            links=[Link(context)] if context.is_valid else (),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await proceed()
            except (RetryLater, Discard):
                raise  # how the job goes on, no error
            except Exception as error:
                span.record_exception(error)
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_attribute("headway.gives_up", call.gives_up(error))
                span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
                raise
