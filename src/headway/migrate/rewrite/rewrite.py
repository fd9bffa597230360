"""The whole of it: from a folder to what its files become, and what is left to people."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING, Final

import libcst as cst
from libcst.metadata import MetadataWrapper

from headway.migrate.rewrite import commands
from headway.migrate.rewrite.assembly import assemble
from headway.migrate.rewrite.changes import Change, Rewriting
from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.importing import import_lines, with_imports
from headway.migrate.rewrite.module_pass import ModulePass
from headway.migrate.rewrite.modules import Target
from headway.migrate.rewrite.plan import make_plan, uses_arq
from headway.migrate.rewrite.project import read_project
from headway.migrate.rewrite.site import Site
from headway.migrate.rewrite.sources import Source, files_below, read_python, read_text
from headway.migrate.rewrite.usage import still_arq, used_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.plan import Plan

_HELD: Final = "its tasks, calls or settings could not be read by libcst"


def rewrite_arq(root: Path, progress: Callable[[int], None] | None = None) -> Rewriting:
    """Read a project below a folder, or one file, and say what it becomes. Nothing is written, imported or run."""
    findings: set[Finding] = set()
    report = findings.add
    python: list[Source] = []
    others: list[Source] = []
    for n, (path, name) in enumerate(files_below(root, report)):
        if progress is not None:
            progress(n + 1)
        if path.suffix == ".py":
            source = read_python(path, name, report)
            python += [] if source is None else [source]
        elif commands.is_read(name):
            text = read_text(path, name, report)
            others += [] if text is None or "arq" not in text.text else [text]
    run: Counter[str] = Counter()
    for other in others:
        run.update(commands.modules_run(other.name, other.text))
    project = read_project(root, python, report, run)
    folder = root.resolve().parent if root.is_file() else root.resolve()
    plan = make_plan(project, root.stem if root.is_file() else folder.name, report)
    changes = [
        change
        for module in project.modules.values()
        if _is_changed(plan, module) and (change := _changed(plan, module, report)) is not None
    ]
    held = _held(plan, changes)
    changes += _new_home(plan, root, report)
    changes += _of_others(plan, others, report, keep_arq=held)
    if plan.home is None:
        return Rewriting(sorted(changes, key=lambda one: one.file), sorted(findings))
    tasks = sorted(one.name for one in plan.tasks.values())
    return Rewriting(sorted(changes, key=lambda one: one.file), sorted(findings), plan.home.command, tasks)


def _is_changed(plan: Plan, module: Module) -> bool:
    names = {key.module for key in (*plan.tasks, *plan.contexts)} | {one.module.name for one in plan.workers}
    names |= {one.startup.module.name for one in plan.hooks.lifespans if one.startup is not None}
    return module.name in names or uses_arq(module) or _names_task(plan, module)


def _names_task(plan: Plan, module: Module) -> bool:
    return any(
        (ref := plan.project.resolve(module, local)) is not None
        and ref.module is not None
        and any(key == (ref.module.name, ref.name) for key in plan.tasks)
        for local in module.imports
    )


def _changed(plan: Plan, module: Module, report: Callable[[Finding], None]) -> Change | None:
    site = Site(plan, module, report)
    source = module.source
    try:
        wrapper = MetadataWrapper(cst.parse_module(source.text), unsafe_skip_copy=True)
        tree = with_imports(plan, module, assemble(site, wrapper.visit(ModulePass(site))), site.needs)
        after = tree.code
        _tell_of_rest(plan, module, after, report)
    except Exception as error:  # noqa: BLE001 - one module must not keep the others from being changed
        what = f"{_HELD}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        report(Finding(module.file, 0, Kind.UNREAD, what, "change it by hand"))
        return None
    return (
        None
        if after == source.text or plan.home is None
        else Change(source.path, source.name, source.text, after, source.encoding)
    )


def _tell_of_rest(plan: Plan, module: Module, after: str, report: Callable[[Finding], None]) -> None:
    """Name each of arq's names that is left, where it stood."""
    left = set(still_arq(module, after))
    lines = module.source.text.splitlines()
    for name in sorted(left):
        number = next((n for n, line in enumerate(lines, 1) if "import" in line and name in line), 0)
        target = module.imports.get(name, Target("arq", name))
        report(
            Finding(
                module.file,
                number,
                Kind.HAND,
                f"{target.dotted} is still used",
                "see docs/how-to/rewrite-arq-code.md",
            )
        )
    for worker in plan.workers:
        if module is worker.module:
            _tell_of_gone(plan, module, worker.node.name, after, report)
            continue
        for local, target in module.imports.items():
            if target == (worker.module.name, worker.node.name):
                number = next((n for n, line in enumerate(lines, 1) if local in line), 0)
                if local in after:
                    what = f"{local} is still used, and is gone"
                    report(
                        Finding(
                            module.file,
                            number,
                            Kind.HAND,
                            what,
                            f"use {plan.home.command if plan.home else 'the app'}",
                        )
                    )


def _tell_of_gone(
    plan: Plan, module: Module, name: str, after: str, report: Callable[[Finding], None]
) -> None:
    """Name a class of settings that its own module still uses."""
    if name not in used_names(ast.parse(after)):
        return
    lines = [one.lineno for one in ast.walk(module.tree) if isinstance(one, ast.Name) and one.id == name]
    todo = f"use {plan.home.command if plan.home else 'the app'}"
    for line in sorted(set(lines)):
        report(Finding(module.file, line, Kind.HAND, f"{name} is still used, and is gone", todo))


def _held(plan: Plan, changes: list[Change]) -> bool:
    """Tell whether something of arq's is left in the code, so that it stays among the requirements."""
    after = {one.file: one.after for one in changes}
    return any(
        still_arq(module, after.get(module.file, module.source.text))
        for module in plan.project.modules.values()
        if uses_arq(module)
    )


def _new_home(plan: Plan, root: Path, report: Callable[[Finding], None]) -> list[Change]:
    home = plan.home
    if home is None or not home.new_file:
        return []
    path = (root.parent if root.is_file() else root) / home.new_file
    if path.exists():
        report(
            Finding(
                home.new_file, 0, Kind.HAND, "it is there already, and not written over", "make the app there"
            )
        )
        return []
    lines = import_lines({"Headway": Target("headway", "Headway"), **home.imports})
    standard = [one for one in lines if lines.index(one) < lines.index("from headway import Headway")]
    others = [one for one in lines if one not in standard and one != "from headway import Headway"]
    groups = ["\n".join(some) for some in (standard, ["from headway import Headway"], others) if some]
    text = "\n\n".join(['"""The app of the background jobs."""', *groups, home.written({})]) + "\n"
    return [Change(path, home.new_file, "", text, is_new=True)]


def _of_others(
    plan: Plan, others: list[Source], report: Callable[[Finding], None], *, keep_arq: bool
) -> list[Change]:
    changes: list[Change] = []
    for source in others:
        text = source.text
        if plan.home is not None:
            text = commands.changed(source.name, text, plan.workers, plan.home, report)
        if commands.is_requirements(source.name) and commands.needs_arq(source.name, text):
            if keep_arq or plan.home is None:
                what = "arq stays among the requirements: some of it is left in the code"
                report(Finding(source.name, 0, Kind.HAND, what, "then headway[redis] in its place"))
            else:
                text = commands.requirement(source.name, text)
        if text != source.text:
            changes.append(Change(source.path, source.name, source.text, text))
    return changes
