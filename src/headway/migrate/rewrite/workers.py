"""What arq was told: the classes that it takes settings from, the tasks and schedules in them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.findings import Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Function, Module
    from headway.migrate.rewrite.project import Project

_OWN: Final = ("functions", "cron_jobs")  # a class with one of these may be a worker's
_DEPTH: Final = 6
_DECLARE = "declare it with @app.task where it is defined"


class Given(NamedTuple):
    """An expression, and the module in which its names are known."""

    node: ast.expr
    module: Module
    written: str = ""  # instead of what stands in the module

    @property
    def text(self) -> str:
        """Its source."""
        return self.written or self.module.text(self.node)


class TaskKey(NamedTuple):
    """Which function: its module's name and its own."""

    module: str
    function: str


class TaskRef(NamedTuple):
    """A task in `functions`, with the options of `func(...)`."""

    key: TaskKey
    options: Mapping[str, Given]


class CronRef(NamedTuple):
    """A `cron(...)`, with all that is given to it but the function."""

    key: TaskKey
    options: Mapping[str, Given]
    line: int


@dataclass(slots=True)
class Worker:
    """A class of worker settings. `hooks` are functions that are written in the class itself."""

    module: Module
    node: ast.ClassDef
    settings: dict[str, Given] = field(default_factory=dict)
    hooks: dict[str, Function] = field(default_factory=dict)
    tasks: list[TaskRef] = field(default_factory=list)
    crons: list[CronRef] = field(default_factory=list)
    lists: set[TaskKey] = field(default_factory=set)
    """Names of the top level of modules that only listed its tasks."""

    @property
    def name(self) -> str:
        """The whole name, as arq's command line has it."""
        return f"{self.module.name}.{self.node.name}"


def find_workers(project: Project, report: Report) -> list[Worker]:
    """Read all classes of worker settings, in the order of their files; those that cannot be read are reported."""
    reader = _Reader(project, report)
    found = [
        worker
        for module in project.modules.values()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and (worker := reader.worker(module, node)) is not None
    ]
    return sorted(found, key=lambda one: (one.module.file, one.node.lineno))


class _Reader:
    def __init__(self, project: Project, report: Report) -> None:
        self._project = project
        self._report = report

    def worker(self, module: Module, node: ast.ClassDef) -> Worker | None:
        worker = Worker(module, node)
        self._gather(worker, module, node)
        if not any(name in worker.settings for name in _OWN) or not self._is_arqs(module, node, worker):
            return None
        if "functions" in worker.settings:
            tasks = self._tasks(worker, worker.settings["functions"], _DEPTH)
            if tasks is None:
                return None
            worker.tasks = tasks
        if "cron_jobs" in worker.settings:
            worker.crons = list(self._crons(worker, worker.settings["cron_jobs"], _DEPTH))
        if worker.tasks or worker.crons:
            return worker
        self._say(module, node, f"{node.name} names no task that was found here", _DECLARE)
        return None

    def _is_arqs(self, module: Module, node: ast.ClassDef, worker: Worker) -> bool:
        uses_arq = any(target.module.partition(".")[0] == "arq" for target in module.imports.values())
        return uses_arq or "Worker" in node.name or "redis_settings" in worker.settings

    def _gather(self, worker: Worker, module: Module, node: ast.ClassDef) -> None:
        """Take the settings of the class itself: arq does not look at its bases."""
        local: dict[str, ast.expr] = {}
        for statement in node.body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    local[name] = value
                    if isinstance(value, ast.Name) and value.id in local and value.id != name:
                        value = local[value.id]
                    if name in worker.hooks:
                        del worker.hooks[name]
                    worker.settings[name] = Given(value, module)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    worker.hooks[name] = statement
                    worker.settings.pop(name, None)
                case _:
                    pass

    # --- functions ----------------------------------------------------------------------------------------------

    def _tasks(self, worker: Worker, given: Given, depth: int) -> list[TaskRef] | None:
        """Return the tasks of a list; None, with a finding, when it is none that can be read."""
        tasks: list[TaskRef] = []
        items = self._items(worker, given, depth)
        if items is None:
            what = f"{worker.node.name}: what tasks there are is known only when the code runs: {_short(given.text)}"
            self._say(given.module, given.node, what, "list the functions, then run this again")
            return None
        for item in items:
            task = self._task(worker, item, {}, depth)
            if task is None:
                what = f"{_short(item.text)} is no function whose definition was found here"
                self._say(item.module, item.node, what, _DECLARE)
            else:
                tasks.append(task)
        return tasks

    def _items(  # noqa: PLR0911 - one for each kind of expression
        self, worker: Worker, given: Given, depth: int
    ) -> list[Given] | None:
        """Return the items of a list, of several that are added, or of one that a name stands for."""
        module = given.module
        if not depth:
            return None
        match given.node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                items: list[Given] = []
                for part in parts:
                    inner = part.value if isinstance(part, ast.Starred) else None
                    more = (
                        [Given(part, module)]
                        if inner is None
                        else self._items(worker, Given(inner, module), depth - 1)
                    )
                    if more is None:
                        return None
                    items += more
                return items
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                sides = [self._items(worker, Given(side, module), depth - 1) for side in (left, right)]
                return None if None in sides else [one for side in sides for one in side or ()]
            case ast.Call(func=ast.Name(id="list" | "tuple" | "set"), args=[inner], keywords=[]):
                return self._items(worker, Given(inner, module), depth - 1)
            case ast.Name() | ast.Attribute():
                return self._named_items(worker, given, depth)
            case _:
                return None

    def _named_items(self, worker: Worker, given: Given, depth: int) -> list[Given] | None:
        ref = self._project.resolve(given.module, given.text)
        if ref is None or ref.module is None:
            return None
        value = ref.module.assigned(ref.name)
        if value is None:
            return None
        worker.lists.add(TaskKey(ref.module.name, ref.name))
        return self._items(worker, Given(value, ref.module), depth - 1)

    def _task(  # noqa: PLR0911 - one for each kind of expression
        self, worker: Worker, item: Given, options: Mapping[str, Given], depth: int
    ) -> TaskRef | None:
        """Find the function that is meant."""
        module = item.module
        match item.node:
            case ast.Constant(value=str() as dotted):
                key = self._function(dotted)
                return None if key is None else TaskRef(key, {"name": item, **options})
            case ast.Call(func=called, args=args, keywords=keywords) if self._arq(module, called) in {
                "func",
                "Function",
            }:
                more = {one.arg: Given(one.value, module) for one in keywords if one.arg}
                inner = Given(args[0], module) if args else more.pop("coroutine", None)
                return (
                    None
                    if inner is None or not depth
                    else self._task(worker, inner, {**more, **options}, depth - 1)
                )
            case ast.Name() | ast.Attribute():
                ref = self._project.resolve(module, item.text)
                if ref is None or ref.module is None:
                    return None
                if ref.module.function(ref.name) is not None:
                    return TaskRef(TaskKey(ref.module.name, ref.name), options)
                value = ref.module.assigned(ref.name)
                if value is None or not depth:
                    return None
                worker.lists.add(TaskKey(ref.module.name, ref.name))
                return self._task(worker, Given(value, ref.module), options, depth - 1)
            case _:
                return None

    def _function(self, dotted: str) -> TaskKey | None:
        ref = self._project.find(dotted)
        if ref.module is None or ref.module.function(ref.name) is None:
            return None
        return TaskKey(ref.module.name, ref.name)

    # --- schedules ----------------------------------------------------------------------------------------------

    def _crons(self, worker: Worker, given: Given, depth: int) -> Iterator[CronRef]:
        items = self._items(worker, given, depth)
        if items is None:
            what = (
                f"{worker.node.name}: its schedules are known only when the code runs: {_short(given.text)}"
            )
            self._say(given.module, given.node, what, "put @app.cron above each task")
            return
        for item in items:
            cron = self._cron(worker, item, depth)
            if cron is None:
                what = f"{_short(item.text)} is no cron(...) of a function whose definition was found here"
                self._say(item.module, item.node, what, "put @app.cron above the task")
            else:
                yield cron

    def _cron(self, worker: Worker, item: Given, depth: int) -> CronRef | None:
        match item.node:
            case ast.Call(func=called, args=[function, *_], keywords=keywords) if (
                self._arq(item.module, called) == "cron"
            ):
                task = self._task(worker, Given(function, item.module), {}, depth)
                more = {one.arg: Given(one.value, item.module) for one in keywords if one.arg}
                return None if task is None else CronRef(task.key, more, item.node.lineno)
            case ast.Name() | ast.Attribute() if depth:
                ref = self._project.resolve(item.module, item.text)
                value = None if ref is None or ref.module is None else ref.module.assigned(ref.name)
                if value is None or ref is None or ref.module is None:
                    return None
                worker.lists.add(TaskKey(ref.module.name, ref.name))
                return self._cron(worker, Given(value, ref.module), depth - 1)
            case _:
                return None

    def _arq(self, module: Module, node: ast.expr) -> str:
        ref = self._project.resolve(module, ast.unparse(node))
        return "" if ref is None else ref.arq

    def _say(self, module: Module, node: ast.expr | ast.stmt, what: str, todo: str) -> None:
        self._report(Finding(module.file, node.lineno, Kind.HAND, what, todo))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."  # noqa: PLR2004 - it stands within a sentence
