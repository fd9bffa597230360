"""What becomes of each task: its decorators, with what arq was told of it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.constants import NotConstantError, constant
from headway.migrate.rewrite.crontab import NoCrontabError, crontab
from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.moving import moved
from headway.migrate.rewrite.vocabulary import ARQ_QUEUE
from headway.migrate.rewrite.workers import Given

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Module, Target
    from headway.migrate.rewrite.project import Project
    from headway.migrate.rewrite.workers import CronRef, TaskKey, Worker

_ARQ_TRIES: Final = "5"
_KEPT: Final = ("keep_result", "keep_result_forever")


@dataclass(slots=True)
class TaskPlan:
    """A task to be declared. All but its key and name are Python sources; `imports` are what they need."""

    key: TaskKey
    name: str
    theirs: str = ""  # its name in arq, where two workers have one of that name
    options: dict[str, str] = field(default_factory=dict)
    schedules: list[str] = field(default_factory=list)
    imports: dict[str, Target] = field(default_factory=dict)

    def decorators(self, app: str) -> list[str]:
        """Return the lines above the function."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return [*(f"@{app}.cron({one})" for one in self.schedules), f"@{app}.task({options})"]


def plan_tasks(
    project: Project, workers: Sequence[Worker], report: Report, *, retries: bool
) -> dict[TaskKey, TaskPlan]:
    """Decide what becomes of all tasks. `retries`: somewhere in the project a task asks to run again."""
    planner = _Planner(project, workers, report, retries=retries)
    for worker in workers:
        for task in worker.tasks:
            planner.add(worker, task.key, task.options)
        for cron in worker.crons:
            planner.schedule(worker, cron)
    planner.refuse_equal_names()
    return planner.plans


class _Planner:
    def __init__(self, project: Project, workers: Sequence[Worker], report: Report, *, retries: bool) -> None:
        self._project = project
        self._first = workers[0] if workers else None
        self._report = report
        self._retries = retries
        self._told: list[Worker] = []  # that their schedules go by another clock
        self.plans: dict[TaskKey, TaskPlan] = {}

    def add(self, worker: Worker, key: TaskKey, options: Mapping[str, Given]) -> None:
        module = self._project.modules[key.module]
        if key in self.plans:
            other = self._name(module, key, options)
            if other != self.plans[key].name:
                what = (
                    f"{key.function} is also listed as {other}; it is one task here, {self.plans[key].name}"
                )
                todo = f"declare a second task, {other}, that calls {key.function}.fn"
                self._say(module, key, Kind.HAND, what, todo)
                return
            what = f"task {key.function} belongs to several workers; it goes to the queue of the first"
            self._say(module, key, Kind.CHECK, what, "enqueue with options(queue=...) for the others")
            return
        plan = self.plans[key] = TaskPlan(key, self._name(module, key, options))
        plan.options["name"] = f'"{plan.name}"'
        queue = self._queue(worker, plan)
        if queue:
            plan.options["queue"] = queue
        own_limit = options.get("timeout")
        if own_limit is None and worker is not self._first:
            own_limit = worker.settings.get("job_timeout")
        if own_limit is not None and (text := self._moved(plan, own_limit, "timeout")) not in {None, "None"}:
            plan.options["timeout"] = str(text)
        plan.options["retry"] = self._retry(worker, plan, options.get("max_tries"))
        for name in _KEPT:
            if name in options and options[name].text not in {"None", "False"}:
                what = (
                    f"{name}={options[name].text} of task {plan.name}: how long jobs are kept is one setting"
                )
                self._say(module, key, Kind.CHECK, what, "keep_succeeded of Headway(...) is for all tasks")

    def schedule(self, worker: Worker, cron: CronRef) -> None:
        """Put a schedule above a task, and make the task if only schedules name it."""
        if cron.key not in self.plans:
            once = Given(ast.Constant(1), worker.module)
            self.add(worker, cron.key, {"max_tries": once, **_only(cron.options, ("timeout", "max_tries"))})
        plan = self.plans[cron.key]
        texts: dict[ast.expr, Given] = {one.node: one for one in cron.options.values()}

        def text(node: ast.expr) -> str:
            return self._moved(plan, texts[node], "cron") or texts[node].text

        given = {name: one.node for name, one in cron.options.items()}
        try:
            arguments = [crontab(given, text)]
        except NoCrontabError as error:
            what = f"the schedule of {plan.name}: {error}"
            self._report(
                Finding(worker.module.file, cron.line, Kind.HAND, what, "write @app.cron above the task")
            )
            return
        zone = self._zone(worker)
        if zone:
            arguments.append(f'timezone="{zone}"')
        if plan.schedules:
            arguments.append(f'name="{plan.name}-{len(plan.schedules) + 1}"')
        plan.schedules.append(", ".join(arguments))
        self._tell_of_schedule(worker, cron, plan)

    def _tell_of_schedule(self, worker: Worker, cron: CronRef, plan: TaskPlan) -> None:
        def said(what: str, todo: str, kind: Kind = Kind.CHECK) -> None:
            self._report(Finding(worker.module.file, cron.line, kind, f"schedule {plan.name}: {what}", todo))

        options = cron.options
        if "run_at_startup" in options and options["run_at_startup"].text != "False":
            said("it also ran when a worker started", f"enqueue {plan.name} in your deployment", Kind.HAND)
        if "unique" in options and options["unique"].text == "False":
            said("every worker ran it; now one does", "start it otherwise where each host has to run it")
        if "job_id" in options and options["job_id"].text != "None":
            said(
                "its job_id is gone",
                "one job per fire time is kept without it; unique=Unique() keeps one at a time",
            )
        if "timezone" not in worker.settings and worker not in self._told:
            self._told.append(worker)
            said(
                "arq went by the clock of the host, this goes by UTC",
                'add timezone="Europe/Zurich" or the like',
            )

    def refuse_equal_names(self) -> None:
        seen: dict[str, TaskKey] = {}
        for plan in self.plans.values():
            if plan.name in seen:
                first, plan.name = plan.name, f"{plan.key.module}.{plan.key.function}"
                plan.theirs = first
                plan.options["name"] = f'"{plan.name}"'
                module = self._project.modules[plan.key.module]
                what = f"two tasks are called {first}; this one becomes {plan.name}"
                self._say(module, plan.key, Kind.HAND, what, "look at who enqueues it")
            seen[plan.name] = plan.key

    # --- options ------------------------------------------------------------------------------------------------

    def _name(self, module: Module, key: TaskKey, options: Mapping[str, Given]) -> str:
        if "name" not in options:
            return key.function
        try:
            value = constant(options["name"].node)
        except NotConstantError:
            value = None
        if isinstance(value, str) and value and '"' not in value and "\\" not in value:
            return value
        what = f"the name of task {key.function} is known only when the code runs: {options['name'].text}"
        self._say(module, key, Kind.HAND, what, "give it in @app.task(name=...)")
        return key.function

    def _queue(self, worker: Worker, plan: TaskPlan) -> str:
        given = worker.settings.get("queue_name")
        if given is None:
            return ""
        try:
            value = constant(given.node)
        except NotConstantError:
            return self._moved(plan, given, "queue") or ""
        return f'"{value}"' if isinstance(value, str) and value != ARQ_QUEUE else ""

    def _retry(self, worker: Worker, plan: TaskPlan, own: Given | None) -> str:
        """Keep arq's rule: only what asks for it runs again."""
        never = worker.settings.get("retry_jobs")
        given = own or worker.settings.get("max_tries")
        tries = _ARQ_TRIES if given is None else self._moved(plan, given, "max_tries") or _ARQ_TRIES
        if not self._retries or tries in {"0", "1"} or (never is not None and never.text == "False"):
            return "Retry.never()"
        return f"Retry(max_attempts={_ARQ_TRIES if tries == 'None' else tries}, retry_on=())"

    def _zone(self, worker: Worker) -> str:
        given = worker.settings.get("timezone")
        if given is None:
            return ""
        match given.node:
            case ast.Call(args=[ast.Constant(value=str() as zone)]) if '"' not in zone:
                return zone
            case ast.Attribute(attr="utc" | "UTC") | ast.Name(id="UTC" | "utc") | ast.Constant(value=None):
                return ""
            case _:
                what = f"timezone = {given.text} has no name that can be read"
                file, line = given.module.file, given.node.lineno
                self._report(Finding(file, line, Kind.HAND, what, 'write timezone="..." in each @app.cron'))
                return ""

    def _moved(self, plan: TaskPlan, given: Given, what: str) -> str | None:
        """Return the source of an option where the task stands; None, with a finding, when it means nothing there."""
        there = self._project.modules[plan.key.module]
        done = moved(given, there)
        if done is None:
            said = f"{what}={given.text} of task {plan.name} uses names of {given.module.file}"
            todo = f"give it in @app.task({what}=...)"
            self._report(Finding(given.module.file, given.node.lineno, Kind.HAND, said, todo))
            return None
        plan.imports.update(done.imports)
        return done.text

    def _say(self, module: Module, key: TaskKey, kind: Kind, what: str, todo: str) -> None:
        function = module.function(key.function)
        self._report(Finding(module.file, function.lineno if function else 0, kind, what, todo))


def _only(options: Mapping[str, Given], names: Iterable[str]) -> dict[str, Given]:
    return {name: options[name] for name in names if name in options}
