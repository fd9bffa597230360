"""Queues, jobs, workers and schedules as a Node program declares them, where that is plain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.migrate.node.tokens import Token, tokens
from headway.migrate.node.values import Unknown, arguments, end_of, fields_of, items_of
from headway.migrate.rewrite.findings import Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.sources import Source

DEFAULT_NAME: Final = "__default__"
"""Bull's name for jobs that are added without one."""
_QUEUES: Final = frozenset({"Queue", "Bull"})
_DECORATED: Final = frozenset({"InjectQueue"})
_SCHEDULES: Final = frozenset({"upsertJobScheduler"})


class SeenJob(Struct, frozen=True):
    """A job that is added somewhere. `data` is the literal, as far as it is one; `options` as well."""

    queue: str
    name: str
    where: str
    data: Any = None
    options: dict[str, Any] = {}


class SeenSchedule(Struct, frozen=True):
    """A repeating job. `repeat` has pattern or cron, every, tz."""

    queue: str
    name: str
    where: str
    repeat: dict[str, Any]
    data: Any = None


class SeenWorker(Struct, frozen=True):
    """What runs the jobs of a queue, or those of one name: where it stands."""

    queue: str
    where: str
    name: str = ""
    concurrency: int = 0


class Declarations(Struct):
    """All that was seen."""

    queues: dict[str, str] = {}  # by name: where it is declared first
    defaults: dict[str, dict[str, Any]] = {}  # by queue: the options of its jobs that name none
    jobs: list[SeenJob] = []
    schedules: list[SeenSchedule] = []
    workers: list[SeenWorker] = []


def read_declarations(sources: Sequence[Source], report: Report) -> Declarations:
    """Read files; what is not plain is reported."""
    files = {source.name: tokens(source.text) for source in sources}
    constants = _constants(files)
    found = Declarations()
    variables: dict[str, str] = {}
    for file, stream in files.items():
        for variable, queue, line, options in _queues(stream, constants, file, report):
            found.queues.setdefault(queue, f"{file}:{line}")
            if defaults := fields_of(options.get("defaultJobOptions")):
                found.defaults.setdefault(queue, defaults)
            if variable:
                variables.setdefault(variable, queue)
    for file, stream in files.items():
        _File(file, stream, constants, variables, found, report).read()
    return found


def _constants(files: Mapping[str, Sequence[Token]]) -> dict[str, Any]:
    """Return texts and numbers that have one name in the whole project."""
    found: dict[str, Any] = {}
    twice: set[str] = set()
    for stream in files.values():
        for n in range(len(stream) - 3):
            keyword, name, sign, literal = stream[n : n + 4]
            if keyword.value == "const" and sign.value == "=" and literal.kind in {"text", "number"}:
                plain = (
                    literal.value if literal.kind == "text" else int(float(literal.value.replace("_", "")))
                )
                ends = (
                    stream[n + 4].value in {";", "as", "export", "const", "let", "import"}
                    if n + 4 < len(stream)
                    else True
                )
                if name.value in found and found[name.value] != plain:
                    twice.add(name.value)
                if ends or stream[n + 4].line > literal.line:
                    found[name.value] = plain
    return {name: plain for name, plain in found.items() if name not in twice}


def _queues(
    stream: Sequence[Token], constants: Mapping[str, Any], file: str, report: Report
) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yield the variable, name, line and options of each queue that is made or injected."""
    for n, token in enumerate(stream):
        made = token.value == "new" and n + 1 < len(stream) and stream[n + 1].value in _QUEUES
        injected = token.value in _DECORATED and n and stream[n - 1].value == "@"
        if not made and not injected:
            continue
        at = _call(stream, n + (2 if made else 1))
        if at is None:
            continue
        given = arguments(stream, at, constants)
        if not given or not isinstance(given[0], str):
            what = f"a queue whose name is known only when the code runs: {given[0].written if given else ''}"
            report(
                Finding(file, token.line, Kind.HAND, what, "name it in map.toml, or sample it with --source")
            )
            continue
        variable = _assigned(stream, n) if made else _declared(stream, end_of(stream, at) + 1)
        yield variable, given[0], token.line, fields_of([*given, None][1])


def _call(stream: Sequence[Token], at: int) -> int | None:
    """Return where the arguments begin, behind type parameters."""
    if at < len(stream) and stream[at].value == "<":
        depth = 0
        for n in range(at, min(len(stream), at + 200)):
            depth += {"<": 1, ">": -1}.get(stream[n].value, 0)
            if not depth:
                at = n + 1
                break
    return at if at < len(stream) and stream[at].value == "(" else None


def _assigned(stream: Sequence[Token], at: int) -> str:
    """Return the last name of what a value is assigned to."""
    n = at - 1
    if n >= 0 and stream[n].value == "=":
        n -= 1
        while n > 0 and stream[n].value in {">", "<", ")", "]"}:  # behind a type
            n -= 1
        for back in range(n, max(-1, n - 12), -1):
            if stream[back].value == ":" and back and stream[back - 1].kind == "name":
                return stream[back - 1].value
            if stream[back].value in {"const", "let", "var", ";", "{", "}"}:
                break
        return stream[n].value if stream[n].kind == "name" else ""
    return stream[n - 1].value if n > 0 and stream[n].value == ":" and stream[n - 1].kind == "name" else ""


def _declared(stream: Sequence[Token], at: int) -> str:
    """Return the name of the parameter or property behind a decorator."""
    for n in range(at, min(len(stream), at + 6)):
        if stream[n].kind == "name" and stream[n].value not in {"private", "readonly", "public", "protected"}:
            return stream[n].value
    return ""


class _File:
    def __init__(  # noqa: PLR0917 - what is known before it is read
        self,
        file: str,
        stream: Sequence[Token],
        constants: Mapping[str, Any],
        variables: Mapping[str, str],
        found: Declarations,
        report: Report,
    ) -> None:
        self._file = file
        self._stream = stream
        self._constants = constants
        self._variables = variables
        self._found = found
        self._report = report
        self._flows = {
            _assigned(stream, n)
            for n, one in enumerate(stream[:-1])
            if one.value == "new" and stream[n + 1].value == "FlowProducer"
        }

    def read(self) -> None:
        for n, token in enumerate(self._stream):
            if token.kind != "name":
                continue
            if token.value == "new" and n + 1 < len(self._stream) and self._stream[n + 1].value == "Worker":
                self._worker(n)
            elif (
                n > 1
                and self._stream[n - 1].value in {".", "?."}
                and (at := _call(self._stream, n + 1)) is not None
            ):
                owner = self._stream[n - 2].value
                self._method(owner, token, arguments(self._stream, at, self._constants))

    def _method(self, owner: str, method: Token, given: list[Any]) -> None:
        if owner in self._flows and method.value == "add" and given:
            self._flow(given[0], method.line)
        queue = self._variables.get(owner)
        if queue is None:
            return
        match method.value:
            case "add":
                self._add(queue, given, method.line)
            case "addBulk":
                for one in map(fields_of, items_of(given[0]) if given else []):
                    self._add(queue, [one.get("name"), one.get("data"), one.get("opts")], method.line)
            case "process":
                name = given[0] if given and isinstance(given[0], str) else ""
                self._found.workers.append(SeenWorker(queue, self._where(method.line), name))
            case name if name in _SCHEDULES:
                self._schedule(queue, given, method.line)
            case _:
                pass

    def _add(self, queue: str, given: list[Any], line: int) -> None:
        if not given:
            return
        if isinstance(given[0], Unknown) and len(given) > 1 and given[0].written:
            what = f"a job of queue {queue!r} whose name is known only when the code runs: {given[0].written}"
            self._report(
                Finding(self._file, line, Kind.HAND, what, "name it in map.toml, or sample it with --source")
            )
            return
        named = isinstance(given[0], str)
        name = str(given[0]) if named else DEFAULT_NAME
        data, options = [*(given[1:] if named else given), None, None][:2]
        plain = fields_of(options)
        if repeat := fields_of(plain.get("repeat")):
            self._found.schedules.append(SeenSchedule(queue, name, self._where(line), repeat, data))
        self._found.jobs.append(SeenJob(queue, name, self._where(line), data, plain))

    def _schedule(self, queue: str, given: list[Any], line: int) -> None:
        identity, repeat, template = [*given, None, None, None][:3]
        made = fields_of(template)
        name: Any = made.get("name", identity)
        if not isinstance(name, str) or not isinstance(repeat, dict):
            what = f"a schedule of queue {queue!r} that is known only when the code runs"
            self._report(Finding(self._file, line, Kind.HAND, what, "headway migrate plan --source shows it"))
            return
        where, data = self._where(line), made.get("data")
        self._found.schedules.append(SeenSchedule(queue, name, where, fields_of(repeat), data))
        self._found.jobs.append(SeenJob(queue, name, where, data, fields_of(made.get("opts"))))

    def _flow(self, node: Any, line: int, depth: int = 20) -> None:  # noqa: ANN401 - a literal of theirs
        flow = fields_of(node)
        if not flow or not depth:
            return
        queue, name = flow.get("queueName"), flow.get("name")
        if isinstance(queue, str) and isinstance(name, str):
            self._found.queues.setdefault(queue, self._where(line))
            options = fields_of(flow.get("opts"))
            self._found.jobs.append(SeenJob(queue, name, self._where(line), flow.get("data"), options))
            if flow.get("children"):
                what = f"flow: {queue}/{name} waits for its children"
                self._report(Finding(self._file, line, Kind.HAND, what, "have the last child enqueue it"))
        for child in items_of(flow.get("children")):
            self._flow(child, line, depth - 1)

    def _worker(self, n: int) -> None:
        at = _call(self._stream, n + 2)
        if at is None:
            return
        given = arguments(self._stream, at, self._constants)
        if not given or not isinstance(given[0], str):
            return
        number = fields_of([*given, None, None][2]).get("concurrency")
        self._found.queues.setdefault(given[0], self._where(self._stream[n].line))
        self._found.workers.append(
            SeenWorker(
                given[0], self._where(self._stream[n].line), "", number if isinstance(number, int) else 0
            )
        )

    def _where(self, line: int) -> str:
        return f"{self._file}:{line}"
