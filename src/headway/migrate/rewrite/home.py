"""Where the app is made, under which name, and with which settings."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.modules import Target
from headway.migrate.rewrite.moving import moved
from headway.migrate.rewrite.redis_url import NoUrlError, of_call
from headway.migrate.rewrite.workers import Given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.hooks import Hooks
    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.project import Project
    from headway.migrate.rewrite.tasks import TaskPlan
    from headway.migrate.rewrite.workers import TaskKey, Worker

_VARIABLES: Final = ("app", "jobs_app", "headway_app", "headway_jobs_app")
_ARQ_JOBS: Final = "10"
_SETTINGS: Final = {  # arq's to ours, where the value stays as it is
    "job_timeout": "timeout",
    "keep_result": "keep_succeeded",
    "job_completion_wait": "grace",
}
_UNNEEDED: Final = frozenset(
    {
        *(
            "functions",
            "cron_jobs",
            "on_startup",
            "on_shutdown",
            "on_job_start",
            "on_job_end",
            "redis_settings",
        ),
        *("queue_name", "max_jobs", "max_tries", "retry_jobs", "timezone", "allow_abort_jobs", "poll_delay"),
        *("queue_read_limit", "handle_signals", "log_results"),
    }
)
_BY_HAND: Final = {
    "after_job_end": "write @app.middleware; there is no call behind the recording of a result",
    "health_check_interval": "ask `headway workers` and `headway doctor` whether workers live",
    "health_check_key": "ask `headway workers` and `headway doctor` whether workers live",
    "job_serializer": "arguments are written as MessagePack or JSON, and read by the types of the parameters",
    "job_deserializer": "arguments are written as MessagePack or JSON, and read by the types of the parameters",
    "expires_extra_ms": "@app.task(expires=...) says how late a job may start; without it, it never expires",
    "ctx": "declare each value as a resource with @app.resource",
    "burst": "use `headway worker`, or headway.testing.inline in tests",
    "max_burst_jobs": "use headway.testing.inline in tests",
    "redis_pool": "name the Redis in url= of Headway(...)",
    "keep_result_forever": "keep_succeeded of Headway(...) says how long; give it a duration",
}


_OTHERS_TODO: Final = {
    True: "carriers= and routes= of Headway(...) give a queue a Redis of its own",
    False: "choose the one that is long enough for both",
}
_SETTINGS_CLASS: Final = re.compile(r"arq\.(.+\.)?RedisSettings(\.from_dsn)?")


class Argument(NamedTuple):
    """An argument of `Headway(...)`; `setting` is the one of arq's whose comments go with it."""

    name: str
    text: str
    setting: str = ""


@dataclass(slots=True)
class Home:
    """The app. `module` makes it; `new_file` is its path where there is no such module yet."""

    module: str
    variable: str
    app_name: str
    arguments: list[Argument]
    imports: dict[str, Target] = field(default_factory=dict)
    new_file: str = ""

    @property
    def command(self) -> str:
        """How the command line names the app."""
        return f"{self.module}:{self.variable}"

    def written(self, comments: Mapping[str, tuple[list[str], str]]) -> str:
        """Return the call, on a line for each argument, with the comments above and behind the settings of arq's."""
        lines = [f'    "{self.app_name}",']
        for one in self.arguments:
            above, behind = comments.get(one.setting, ([], ""))
            lines += [f"    {text}" for text in above]
            lines.append(f"    {one.name}={one.text}," + (f"  {behind}" if behind else ""))
        return "\n".join([f"{self.variable} = Headway(", *lines, ")"])


def find_home(  # noqa: PLR0917 - all that is decided before it
    project: Project,
    workers: Sequence[Worker],
    tasks: Mapping[TaskKey, TaskPlan],
    hooks: Hooks,
    removed: Mapping[str, set[str]],
    root_name: str,
    report: Report,
) -> Home:
    """Decide where the app is made: beside the worker's settings, unless that module needs one that needs the app."""
    worker = workers[0]
    users = {key.module for key in tasks} | {
        one.startup.module.name for one in hooks.lifespans if one.startup
    }
    users |= {one.module.name for one in workers}
    others = users - {worker.module.name}
    circular = bool(
        project.needs(worker.module.name, still_imported(worker.module, removed, hooks.kept)) & others
    )
    home = worker.module
    name, new_file = home.name, ""
    if circular:
        package = home.package
        name = f"{package}.headway_app" if package else "headway_app"
        folder = home.file.rpartition("/")[0]
        new_file = f"{folder}/headway_app.py" if folder else "headway_app.py"
    wider = [module for module in project.modules.values() if module.name in users or _opens(module)]
    variable = next(
        one for one in (*_VARIABLES, "headway_app_") if not any(one in module.bound for module in wider)
    )
    made = Home(name, variable, _app_name(name, root_name), [], new_file=new_file)
    include = sorted(users - {name} if circular else others - {name})
    _fill(made, worker, None if circular else home, workers, include, project, report)
    return made


def still_imported(
    module: Module, removed: Mapping[str, set[str]], kept: Mapping[str, set[str]]
) -> list[str]:
    """Return what the module will still import when arq's settings have gone; `kept` are names that stay in use."""
    gone = [one for name in removed.get(module.name, ()) for one in module.top.get(name, [])]
    used = {
        node.id
        for statement in module.tree.body
        if statement not in gone
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    used |= kept.get(module.name, set())
    unused = {target for name, target in module.imports.items() if name not in used}
    return [target.dotted for target in module.at_import if target not in unused]


def _opens(module: Module) -> bool:
    return re.search(r"\b(create_pool|arq)\b", module.source.text) is not None


def _app_name(module: str, root_name: str) -> str:
    name = module.partition(".")[0] if "." in module else root_name
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "app"


def _fill(  # noqa: PLR0917 - as find_home
    made: Home,
    worker: Worker,
    there: Module | None,
    workers: Sequence[Worker],
    include: list[str],
    project: Project,
    report: Report,
) -> None:
    add = _Adder(made, there, report)
    url = worker.settings.get("redis_settings")
    if url is not None:
        add.given("url", _with_urls(project, url, made, report), "redis_settings")
    elif "redis_settings" in worker.hooks:
        what = f"{worker.node.name}.redis_settings is a method"
        add.left(worker.hooks["redis_settings"].lineno, worker.module, what, "write url=... in Headway(...)")
    else:
        made.arguments.append(Argument("url", '"redis://localhost:6379/0"'))
    if include:
        made.arguments.append(Argument("include", _listed(include)))
    for name, ours in _SETTINGS.items():
        if name in worker.settings and worker.settings[name].text != "None":
            add.given(ours, worker.settings[name], name)
    if "max_jobs" in worker.settings:
        add.given("concurrency", worker.settings["max_jobs"], "max_jobs")
    if not any(one.name == "concurrency" for one in made.arguments):
        made.arguments.append(Argument("concurrency", _ARQ_JOBS))
    made.arguments.append(Argument("processes", "1"))
    for one in workers:
        _tell(one, worker, report)
    if len(workers) > 1:
        names = ", ".join(one.name for one in workers[:5])
        what = f"{len(workers)} classes of worker settings become one app with a queue each: {names}"
        todo = "where they are programs apart, run this on the folder of each"
        report(Finding(worker.module.file, worker.node.lineno, Kind.CHECK, what, todo))


def _tell(one: Worker, first: Worker, report: Report) -> None:
    """Say what of a worker's settings has nothing in its place."""
    for name, given in one.settings.items():
        file, line = given.module.file, given.node.lineno
        if name in _BY_HAND and given.text not in {"None", "False"}:
            what = f"{one.node.name}.{name} = {' '.join(given.text.split())[:60]} has no counterpart"
            report(Finding(file, line, Kind.HAND, what, _BY_HAND[name]))
        other = first.settings.get(name)
        if one is first or name not in {*_SETTINGS, "redis_settings"} or name == "job_timeout":
            continue
        if other is None or other.text != given.text:
            what = (
                f"{one.node.name}.{name} is another than that of {first.node.name}, which counts for the app"
            )
            report(Finding(file, line, Kind.HAND, what, _OTHERS_TODO[name == "redis_settings"]))


def _listed(names: list[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in names) + "]"


class _Adder:
    def __init__(self, made: Home, there: Module | None, report: Report) -> None:
        self._made = made
        self._there = there
        self._report = report

    def given(self, name: str, given: Given | None, setting: str) -> None:
        if given is None:
            return
        done = moved(given, self._there)
        if done is None:
            what = f"{name}={' '.join(given.text.split())[:60]} uses names of {given.module.file}"
            todo = f"write {name}= in Headway(...), and import what it needs"
            self.left(given.node.lineno, given.module, what, todo)
            return
        self._made.imports.update(done.imports)
        self._made.arguments.append(Argument(name, done.text, setting))

    def left(self, line: int, module: Module, what: str, todo: str) -> None:
        self._report(Finding(module.file, line, Kind.HAND, what, todo))


def _with_urls(project: Project, given: Given, made: Home, report: Report) -> Given | None:
    """Return the expression with a URL in the place of each `RedisSettings(...)`; None, with a finding, without one."""
    text = given.text
    for call in ast.walk(given.node):
        if not isinstance(call, ast.Call):
            continue
        ref = project.resolve(given.module, ast.unparse(call.func))
        if ref is None or ref.module is not None or not _SETTINGS_CLASS.fullmatch(ref.name):
            continue
        try:
            url = of_call(call, given.module.text)
        except NoUrlError as error:
            report(
                Finding(given.module.file, call.lineno, Kind.HAND, f"RedisSettings: {error}", "write url=...")
            )
            return None
        text = text.replace(given.module.text(call), url.text, 1)
        if url.quotes:
            made.imports["quote"] = Target("urllib.parse", "quote")
    if text == given.text:
        return given
    try:
        return Given(ast.parse(f"({text})", mode="eval").body, given.module, text)
    except SyntaxError:
        return None
