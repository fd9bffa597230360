"""A module while it is changed: what its names mean, what it has to import, what is to be told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import libcst as cst

from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.modules import Target

if TYPE_CHECKING:
    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.plan import Plan
    from headway.migrate.rewrite.project import Ref
    from headway.migrate.rewrite.tasks import TaskPlan

_HEADWAY = "headway"


@dataclass(slots=True)
class Frame:
    """A function that is being changed. `context` is its parameter with arq's dict, if it has one.

    `enqueued` are its names for what `enqueue_job` answers, `jobs` those and other jobs. `imports` are to stand in it.
    """

    name: str
    context: str = ""
    enqueued: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    imports: dict[str, Target] = field(default_factory=dict)


class Site:
    """What the changes of one module share."""

    def __init__(self, plan: Plan, module: Module, report: Report) -> None:
        """Nothing is needed yet."""
        self.plan = plan
        self.module = module
        self.needs: dict[str, Target] = {}
        self.frames: list[Frame] = []
        self._report = report
        self._empty = cst.Module([])

    # --- what is there ------------------------------------------------------------------------------------------

    def code(self, node: cst.CSTNode) -> str:
        """Return the source of a node."""
        return self._empty.code_for_node(node)

    def resolve(self, node: cst.BaseExpression) -> Ref | None:
        """Say what a name or a dotted name means here."""
        dotted = dotted_name(node)
        return self.plan.project.resolve(self.module, dotted) if dotted else None

    def arq(self, node: cst.BaseExpression) -> str:
        """Return the name in arq that an expression means; empty: it is none of arq's."""
        ref = self.resolve(node)
        return "" if ref is None else ref.arq

    @property
    def context(self) -> str:
        """The name of arq's dict here; empty: there is none."""
        return next((one.context for one in reversed(self.frames) if one.context), "")

    def is_job(self, name: str) -> bool:
        """Tell whether a local name stands for a job."""
        return any(name in one.jobs for one in self.frames)

    def is_enqueued(self, name: str) -> bool:
        """Tell whether a local name stands for what `enqueue_job` answered."""
        return any(name in one.enqueued for one in self.frames)

    # --- what it needs ------------------------------------------------------------------------------------------

    def headway(self, name: str, module: str = _HEADWAY) -> str:
        """Return the local name for one of Headway's, which is imported if need be."""
        return self._imported(
            Target(module, name), f"Headway{name}" if name[0].isupper() else f"headway_{name}", None
        )

    def standard(self, name: str, module: str) -> str:
        """Return the local name for one of the standard library."""
        return self._imported(Target(module, name), f"{name}_", None)

    def app(self) -> str:
        """Return the local name of the app."""
        home = self.plan.home
        if home is None:
            return "app"
        return self.of_project(Target(home.module, home.variable), f"{home.variable}_")

    def task(self, task: TaskPlan) -> str:
        """Return the local name of a task."""
        return self.of_project(Target(*task.key), f"{task.key.function}_task")

    def of_project(self, target: Target, other: str) -> str:
        """Return the local name for a name of the project; it is imported where the import cannot come back here."""
        if target.module == self.module.name:
            return target.attr or target.module
        frame = self.frames[-1] if self.frames else None
        late = self.plan.imports.reaches(target.module, self.module.name)
        return self._imported(target, other, frame if late else None)

    def _imported(self, target: Target, other: str, frame: Frame | None) -> str:
        for local, known in {**self.module.imports, **self.needs}.items():
            if known == target:
                return local
        if self.module.name == target.module:
            return str(target.attr)
        name = str(target.attr)
        while self._is_taken(name, target):
            name = other if name != other else f"{name}_"
        if frame is None:
            self.needs[name] = target
        else:
            frame.imports[name] = target
        return name

    def _is_taken(self, name: str, target: Target) -> bool:
        """Tell whether a name means something else here; one of arq's will have gone."""
        theirs = self.module.imports.get(name)
        bound = name in self.module.bound and (theirs is None or theirs.module.partition(".")[0] != "arq")
        return bound or self.needs.get(name, target) != target

    # --- what is to be told -------------------------------------------------------------------------------------

    def by_hand(self, line: int, what: str, todo: str) -> None:
        """Tell of what is left as it was."""
        self._report(Finding(self.module.file, line, Kind.HAND, what, todo))

    def check(self, line: int, what: str, todo: str) -> None:
        """Tell of a change that behaves otherwise."""
        self._report(Finding(self.module.file, line, Kind.CHECK, what, todo))


def dotted_name(node: cst.BaseExpression) -> str:
    """Return `a.b.c` of names and attributes; empty for anything else."""
    match node:
        case cst.Name(value=name):
            return name
        case cst.Attribute(value=base, attr=cst.Name(value=name)):
            before = dotted_name(base)
            return f"{before}.{name}" if before else ""
        case _:
            return ""


def expression(text: str) -> cst.BaseExpression:
    """Parse an expression that was put together here."""
    return cst.parse_expression(text)


def text_of(node: cst.BaseExpression) -> str | None:
    """Return the value of a plain text; None for anything else."""
    if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, str):
        return node.evaluated_value
    return None
