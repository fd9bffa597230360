"""How our processes log: to stderr, as text or JSON, with the job that the logging code belongs to.

What the application sets up itself wins. Ours is Python's "handler of last resort", which serves only records that no
handler of the application's takes: so `logging.basicConfig` and `dictConfig` in the app's module work as in a script.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from headway.runtime.current import current_run
from headway.runtime.stderr import write_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVEL_VARIABLE: Final = "HEADWAY_LOG_LEVEL"
FORMAT_VARIABLE: Final = "HEADWAY_LOG_FORMAT"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS: Final = ("text", "json")
_TEXT: Final = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
_OURS: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "job_id", "task", "attempt"}
)


class JobLogFilter(logging.Filter):
    """Gives each record `job_id`, `task` and `attempt` of the job whose handler logs it; lets every record through.

    Outside a job they are empty, and 0. It is put on all handlers that the application made at import; add it to those
    that it makes later.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what the record has not."""
        run = current_run.get()
        delivery = None if run is None else run.delivery
        known = vars(record)
        known.setdefault("job_id", "" if delivery is None else delivery.lease.job_id)
        known.setdefault("task", "" if delivery is None else delivery.task)
        known.setdefault("attempt", 0 if delivery is None else delivery.attempt)
        return True


class _TextFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        text = super().formatMessage(record)
        known = vars(record)
        job = known.get("job_id")
        if not job or job in text:
            return text
        first, line_break, rest = text.partition("\n")
        return f"{first}  [job {job}, {known['task']}, attempt {known['attempt']}]{line_break}{rest}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if vars(record).get("job_id"):
            fields |= {name: vars(record)[name] for name in ("job_id", "task", "attempt")}
        if trace := _trace():
            fields |= trace
        fields |= {name: value for name, value in vars(record).items() if name not in _OURS}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


def _trace() -> dict[str, str]:
    """Return the ids of the trace that the logging code belongs to, where the application has OpenTelemetry loaded."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return {}
    try:
        context = api.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {
            "trace_id": api.format_trace_id(context.trace_id),
            "span_id": api.format_span_id(context.span_id),
        }
    except Exception:  # noqa: BLE001 - of another package, about which a log line must not fail
        return {}


class StderrHandler(logging.Handler):
    """Writes to stderr; never raises, and never waits for a reader that has stopped."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a value in the record may do anything when it is shown
            text = f"{record.levelname} {record.name}: {record.msg!r:.200} cannot be shown: {type(error).__name__}"
        write_stderr(f"{text}\n")


def configure_logging() -> None:
    """Set up what no handler of the application takes; before its module is imported, so that it may change that."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = StderrHandler()
    handler.addFilter(JobLogFilter())
    as_json = os.environ.get(FORMAT_VARIABLE, "").lower() == "json"
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter(_TEXT))
    logging.lastResort = handler  # pyright: ignore[reportAttributeAccessIssue] - any handler serves
    level = os.environ.get(LEVEL_VARIABLE, "").upper()
    root.setLevel(level if level in LEVELS else "INFO")


def adopt_logging() -> None:
    """Have the application's own handlers know the running job, once its module is imported.

    `dictConfig` disables the loggers that it does not name; ours go on.
    """
    for handler in _handlers():
        if not any(isinstance(known, JobLogFilter) for known in handler.filters):
            handler.addFilter(JobLogFilter())
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "headway":
            logger.disabled = False


def _handlers() -> Iterator[logging.Handler]:
    yield from logging.root.handlers
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            yield from logger.handlers
