"""`tasks.py` and `map.toml` for jobs of BullMQ or Bull."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.migrate.node.reading import DEFAULT_NAME
from headway.migrate.node.shapes import Parameter, parameters
from headway.migrate.node.values import fields_of
from headway.names import valid_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.migrate.node.reading import Declarations, SeenSchedule
    from headway.migrate.node.sampling import Sample

_MS: Final = 1000
_TITLE: Final = {"bullmq": "BullMQ", "bull": "Bull"}


class Stub(Struct, frozen=True):
    """A task to be written."""

    queue: str
    name: str  # of the job
    task: str
    function: str
    fields: list[Parameter] | None
    retry: str
    where: list[str]
    schedules: list[str]
    samples: int = 0


def make_stubs(seen: Declarations, sampled: Sample | None) -> list[Stub]:
    """Make a task of each job, by queue and name; of a queue whose jobs are not known one for all."""
    payloads: dict[tuple[str, str], list[Any]] = dict(sampled.payloads) if sampled else {}
    keys = {(one.queue, one.name) for one in seen.jobs} | set(payloads)
    keys |= {(one.queue, one.name) for one in seen.workers if one.name}
    keys |= {(one.queue, one.name) for one in sampled.schedules} if sampled else set()
    queues = {queue for queue, _ in keys}
    keys |= {
        (queue, "*") for queue in (*seen.queues, *(sampled.queues if sampled else ())) if queue not in queues
    }
    counted: dict[str, int] = {}
    for _, name in keys:
        counted[name] = counted.get(name, 0) + 1
    functions: set[str] = set()
    stubs: list[Stub] = []
    for queue, name in sorted(keys):
        bare = name in {DEFAULT_NAME, "*", ""}
        task = _valid(queue if bare else f"{queue}.{name}" if counted[name] > 1 else name)
        function = _identifier(task, functions)
        literal = [one for one in _literals(seen, queue, name) if one]
        known: list[Any] = payloads.get((queue, name)) or literal
        stubs.append(
            Stub(
                queue,
                name,
                task,
                function,
                parameters(known) if known else None,
                _retry(seen, sampled, queue, name),
                _places(seen, queue, name),
                [*_schedules(seen.schedules, queue, name), *_sampled_schedules(sampled, queue, name)],
                len(payloads.get((queue, name), ())),
            )
        )
    return stubs


def _literals(seen: Declarations, queue: str, name: str) -> list[Any]:
    """Return the payloads that stand in the code as literals."""
    return [fields_of(one.data) for one in seen.jobs if (one.queue, one.name) == (queue, name)]


def tasks_text(system: str, app: str, stubs: Iterable[Stub]) -> str:
    """Return the source of `tasks.py`."""
    bodies = [_function(one) for one in stubs]
    code = "\n\n\n".join(bodies)
    retry = ", Retry" if "Retry" in code else ""
    typing = "from typing import Any\n\n" if "Any" in code else ""
    head = (
        f'"""Tasks in the place of the jobs of {_TITLE[system]}: write what each of them did.\n\n'
        f"Made by `headway migrate code --from {system}`; the types are those of the payloads that were seen.\n"
        f'"""\n\n{typing}from headway import Headway{retry}\n\napp = Headway({_literal(app)})\n'
    )
    return f"{head}\n\n{code}\n" if bodies else head


def map_text(system: str, stubs: Iterable[Stub]) -> str:
    """Return `map.toml`: which job becomes which task."""
    lines = [
        f"# Which job of {_TITLE[system]} becomes which task; made by `headway migrate code --from {system}`."
    ]
    for one in stubs:
        lines += [
            "",
            "[[job]]",
            f"name = {_literal(one.name or '*')}",
            f"queue = {_literal(one.queue)}",
            f"task = {_literal(one.task)}",
            f'arguments = "{"data" if one.fields is None else "fields"}"',
        ]
    return "\n".join(lines) + "\n"


def _function(stub: Stub) -> str:
    comments = [f"# was: {_one_line(where)}" for where in stub.where]
    comments += [
        f"# ran: {_one_line(one)}; `headway migrate apply` brings it along" for one in stub.schedules
    ]
    takes = "data: Any" if stub.fields is None else ""
    if stub.fields:
        takes = "*, " + ", ".join(
            f"{one.name}: {_optional(one.kind)} = None" if one.optional else f"{one.name}: {one.kind}"
            for one in stub.fields
        )
    options = f"name={_literal(stub.task)}, queue={_literal(_valid(stub.queue))}, retry={stub.retry}"
    told = _literal(f"{stub.queue}/{stub.name}")
    return "\n".join(
        [
            *comments,
            f"@app.task({options})",
            f"async def {stub.function}({takes}) -> None:",
            f"    raise NotImplementedError({told})",
        ]
    )


def _optional(kind: str) -> str:
    return kind if kind == "Any" or "None" in kind.split(" | ") else f"{kind} | None"


def _retry(seen: Declarations, sampled: Sample | None, queue: str, name: str) -> str:
    """Return the retry policy of a job, as its options have it."""
    attempts, kind, delay = 1, "", 0
    given = [one.options for one in seen.jobs if (one.queue, one.name) == (queue, name)]
    for options in (seen.defaults.get(queue, {}), *given):
        if isinstance(options.get("attempts"), int):
            attempts = options["attempts"]
            kind, delay = _back_off(options.get("backoff"))
    job = sampled.attempts.get((queue, name)) if sampled else None
    if job is not None and job.attempts_allowed:
        attempts = job.attempts_allowed
        kind, delay = (job.back_off.kind, job.back_off.delay_ms) if job.back_off else ("", 0)
    if attempts <= 1:
        return "Retry.never()"
    factor = 2 if kind == "exponential" else 1
    longest = delay * factor ** min(attempts - 2, 30)
    maximum = f", maximum={longest / _MS:g}" if longest > 600 * _MS else ""
    return f"Retry(max_attempts={attempts}, initial={delay / _MS:g}, factor={factor}, jitter=0{maximum})"


def _back_off(given: object) -> tuple[str, int]:
    if isinstance(given, int):
        return "fixed", given
    if fields := fields_of(given):
        delay = fields.get("delay")
        return str(fields.get("type", "fixed")), delay if isinstance(delay, int) else 0
    return "", 0


def _places(seen: Declarations, queue: str, name: str) -> list[str]:
    jobs = [f"added in {one.where}" for one in seen.jobs if (one.queue, one.name) == (queue, name)]
    workers = [f"run in {one.where}" for one in seen.workers if one.queue == queue and one.name in {"", name}]
    return [*dict.fromkeys(jobs), *dict.fromkeys(workers)][:8]


def _schedules(seen: Iterable[SeenSchedule], queue: str, name: str) -> list[str]:
    found: list[str] = []
    for one in seen:
        if (one.queue, one.name) == (queue, name):
            shown = {key: text for key, text in one.repeat.items() if isinstance(text, str | int | float)}
            found.append(f"{', '.join(f'{key} {text}' for key, text in shown.items())} ({one.where})")
    return found


def _sampled_schedules(sampled: Sample | None, queue: str, name: str) -> list[str]:
    found = [one for one in (sampled.schedules if sampled else ()) if (one.queue, one.name) == (queue, name)]
    return [f"pattern {one.cron} {one.timezone}" if one.cron else f"every {one.every_ms} ms" for one in found]


def _valid(name: str) -> str:
    """Return a name that every carrier can hold."""
    clean = re.sub(r"[,{}\x00-\x1f\x7f\ud800-\udfff]", "-", name).strip()[:200] or "job"
    return valid_name(clean, "task")


def _identifier(name: str, taken: set[str]) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    base = re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")[:60] or "job"
    base = f"{base}_" if keyword.iskeyword(base) or base in {"app", "any"} else base
    base = f"job_{base}" if base[0].isdigit() else base
    made, n = base, 1
    while made in taken:
        n += 1
        made = f"{base}_{n}"
    taken.add(made)
    return made


def _literal(text: str) -> str:
    """Write a text as Python and TOML read it alike; halves of characters become question marks."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode())
