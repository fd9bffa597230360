"""One walk through a module, which changes all expressions and declares its tasks; statements as a whole follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
from libcst.metadata import PositionProvider

from headway.migrate.rewrite import contexting, enqueueing, jobs, pools
from headway.migrate.rewrite.frames import jobs_of, with_imports, with_typed_context, wrapped_context
from headway.migrate.rewrite.names_only import NamesOnly
from headway.migrate.rewrite.site import Frame, Site, dotted_name, expression
from headway.migrate.rewrite.workers import TaskKey

if TYPE_CHECKING:
    from libcst.metadata import CodeRange

    from headway.migrate.rewrite.tasks import TaskPlan

_AS_DICT: Final = (cst.Attribute, cst.Comparison, cst.StarredDictElement, cst.Arg)
_RENAMED: Final = {"ArqRedis": "Headway", "Job": "JobHandle", "Retry": "RetryLater"}


class ModulePass(NamesOnly):
    """Changes one module; what it needs and tells is in its site."""

    METADATA_DEPENDENCIES = (PositionProvider,)  # type: ignore[mutable-override]

    def __init__(self, site: Site) -> None:
        """Begin with a site that knows of nothing yet."""
        super().__init__()
        self._site = site
        self._classes = 0
        self._left_out: set[cst.CSTNode] = set()  # changed with what they are in
        self._statement: list[cst.BaseExpression] | None = None  # what is to be done before the statement

    def _line(self, node: cst.CSTNode) -> int:
        position: CodeRange = self.get_metadata(PositionProvider, node)  # pyright: ignore[reportAssignmentType]
        return position.start.line

    # --- functions and classes ----------------------------------------------------------------------------------

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        """Count classes: a method is no task."""
        self._classes += 1

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        """Leave it."""
        self._classes -= 1
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        """Find out what its names stand for."""
        frame = Frame(node.name.value)
        if not self._site.frames and not self._classes:
            key = TaskKey(self._site.module.name, node.name.value)
            frame.context = self._site.plan.contexts.get(key, "")
        elif self._site.frames and not self._classes:
            frame.context = wrapped_context(self._site, node)
        jobs_of(self._site, node, frame)
        self._site.frames.append(frame)

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        """Give it the imports that it needs, and declare it if it is a task."""
        frame = self._site.frames.pop()
        if frame.imports:
            updated_node = with_imports(updated_node, frame, self._site.module)
        if self._site.frames or self._classes:
            return updated_node
        key = TaskKey(self._site.module.name, updated_node.name.value)
        if frame.context:
            updated_node = with_typed_context(
                self._site, updated_node, frame.context, always=key in self._site.plan.tasks
            )
        task = self._site.plan.tasks.get(key)
        if task is None:
            return updated_node
        return self._declared(original_node, updated_node, task)

    def _declared(
        self, original: cst.FunctionDef, updated: cst.FunctionDef, task: TaskPlan
    ) -> cst.FunctionDef:
        """Put the decorators of a task above its function."""
        site, line = self._site, self._line(original.name)
        if updated.decorators:
            what = f"{task.key.function} has other decorators below @app.task"
            site.check(line, what, "each has to use functools.wraps and pass ctx on")
        if updated.asynchronous is None:
            site.check(line, f"{task.key.function} is a def", "it runs in a thread now")
        site.needs |= {name: one for name, one in task.imports.items() if name not in site.module.imports}
        policy = site.headway("Retry")
        lines = [one.replace("retry=Retry", f"retry={policy}", 1) for one in task.decorators(site.app())]
        made = [cst.Decorator(expression(one.removeprefix("@"))) for one in lines]
        if not updated.leading_lines:
            updated = updated.with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2)
        return updated.with_changes(decorators=[*made, *updated.decorators])

    # --- statements ---------------------------------------------------------------------------------------------

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        """Gather what has to be done before it."""
        self._statement = []

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        """Do that before it."""
        before, self._statement = self._statement or [], None
        if not before:
            return updated_node
        lines = [cst.SimpleStatementLine([cst.Expr(one)]) for one in before]
        lines[0] = lines[0].with_changes(leading_lines=updated_node.leading_lines)
        return cst.FlattenSentinel([*lines, updated_node.with_changes(leading_lines=())])

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
        """Leave `ctx["key"] = ...` to what follows it."""
        self._left_out.add(node.target)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        """As above, for `ctx["key"] += 1`."""
        self._left_out.add(node.target)
        context = self._site.context
        if context and contexting.key_of(node.target, context) is not None:
            contexting.written(self._site, self._line(node), self._site.code(node.target))

    def visit_Comparison(self, node: cst.Comparison) -> None:
        """Leave `JobStatus.complete` to what it is compared with."""
        if jobs.asks_complete(self._site, node):
            self._left_out.add(node.comparisons[0].comparator)

    def leave_AssignTarget(
        self, original_node: cst.AssignTarget, updated_node: cst.AssignTarget
    ) -> cst.AssignTarget:
        """Keep `ctx["key"] = ...` as it was, and tell of it."""
        context = self._site.context
        if context and contexting.key_of(original_node.target, context) is not None:
            shown = self._site.code(original_node.target)
            contexting.written(self._site, self._line(original_node), shown)
            return original_node
        return updated_node

    # --- expressions --------------------------------------------------------------------------------------------

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        """Change the calls of arq, of jobs and of tasks."""
        site, line = self._site, self._line(original_node)
        if enqueueing.is_enqueue(original_node):
            return self._enqueued(updated_node, line)
        job = jobs.method(site, original_node, updated_node, line)
        if job is not None:
            return job
        if site.context and (key := contexting.key_of(original_node, site.context)) is not None:
            return contexting.value(site, original_node, key, line) or updated_node
        pool = pools.call(site, original_node, updated_node, line)
        if pool is not None:
            return pool
        contexting.passed(site, original_node, line)
        return self._called(original_node, updated_node, line)

    def _enqueued(self, call: cst.Call, line: int) -> cst.BaseExpression:
        done = enqueueing.enqueue(self._site, call, line, in_statement=self._statement is not None)
        if done is None:
            return call
        if done.before is not None and self._statement is not None:
            before = done.before
            self._statement.append(
                before.with_changes(lpar=(), rpar=()) if isinstance(before, cst.Await) else before
            )
        return done.call

    def _called(self, original: cst.Call, updated: cst.Call, line: int) -> cst.BaseExpression:
        """Change a direct call of a task: it takes a context, so its function is meant."""
        ref = self._site.resolve(original.func)
        if (
            ref is None
            or ref.module is None
            or TaskKey(ref.module.name, ref.name) not in self._site.plan.tasks
        ):
            return updated
        func = cst.Attribute(updated.func, cst.Name("fn"))
        first = next((one for one in updated.args if not one.star and one.keyword is None), None)
        if first is None or (isinstance(first.value, cst.Name) and first.value.value == self._site.context):
            return updated.with_changes(func=func)
        made = contexting.fake(self._site, first.value, line)
        args = [
            one.with_changes(value=expression(made)) if one is first and made else one for one in updated.args
        ]
        return updated.with_changes(func=func, args=args)

    def leave_Subscript(
        self, original_node: cst.Subscript, updated_node: cst.Subscript
    ) -> cst.BaseExpression:
        """Change `ctx["key"]`."""
        context = self._site.context
        key = contexting.key_of(original_node, context) if context else None
        if key is None or original_node in self._left_out:
            return updated_node
        return contexting.value(self._site, original_node, key, self._line(original_node)) or updated_node

    def leave_Comparison(
        self, original_node: cst.Comparison, updated_node: cst.Comparison
    ) -> cst.BaseExpression:
        """Change questions about a job."""
        return jobs.comparison(self._site, original_node, updated_node) or updated_node

    def leave_UnaryOperation(
        self, original_node: cst.UnaryOperation, updated_node: cst.UnaryOperation
    ) -> cst.BaseExpression:
        """Change `not job`."""
        if not isinstance(original_node.operator, cst.Not):
            return updated_node
        said = jobs.duplicate_of(self._site, original_node.expression, updated_node.expression)
        return updated_node if said is None else expression(said)

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> cst.If:
        """Change `if job`."""
        return updated_node.with_changes(test=self._asked(original_node.test, updated_node.test))

    def leave_While(self, original_node: cst.While, updated_node: cst.While) -> cst.While:
        """Change `while job`."""
        return updated_node.with_changes(test=self._asked(original_node.test, updated_node.test))

    def leave_Assert(self, original_node: cst.Assert, updated_node: cst.Assert) -> cst.Assert:
        """Change `assert job`."""
        return updated_node.with_changes(test=self._asked(original_node.test, updated_node.test))

    def _asked(self, original: cst.BaseExpression, updated: cst.BaseExpression) -> cst.BaseExpression:
        return jobs.truth(self._site, original, updated) or updated

    def leave_CompIf(self, original_node: cst.CompIf, updated_node: cst.CompIf) -> cst.CompIf:
        """Change `[... for job in jobs if job]`."""
        return updated_node.with_changes(test=self._asked(original_node.test, updated_node.test))

    def leave_IfExp(self, original_node: cst.IfExp, updated_node: cst.IfExp) -> cst.IfExp:
        """Change `... if job else ...`."""
        return updated_node.with_changes(test=self._asked(original_node.test, updated_node.test))

    def leave_BooleanOperation(
        self, original_node: cst.BooleanOperation, updated_node: cst.BooleanOperation
    ) -> cst.BooleanOperation:
        """Change `job and ...`."""
        return updated_node.with_changes(left=self._asked(original_node.left, updated_node.left))

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Tell of contexts that are taken for dicts."""
        if isinstance(node, _AS_DICT):
            contexting.as_dict(self._site, node, self._line(node))
        return super().on_visit(node)

    def visit_Call(self, node: cst.Call) -> None:
        """Tell what is called from what is only named."""
        self._left_out.add(node.func)

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        """Change what is named with its module, and attributes of jobs."""
        site = self._site
        if original_node.attr.value == "enqueue_job" and original_node not in self._left_out:
            what = f"{site.code(original_node)} is named and not called, as fakes of arq's pool are asked"
            site.by_hand(
                self._line(original_node), what, "look at the jobs of headway.testing.inline(app) instead"
            )
        if original_node in self._left_out and jobs.is_state(site, original_node):
            return updated_node
        state = jobs.state(site, original_node, self._line(original_node))
        if state is not None:
            return state
        setting = pools.setting(site, original_node)
        if setting is not None:
            return setting
        if dotted_name(original_node) and (renamed := self._renamed(original_node)) is not None:
            return renamed
        return jobs.attribute(site, original_node, updated_node)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        """Change arq's names."""
        if self.in_name:
            return updated_node
        return self._renamed(original_node) or updated_node

    def _renamed(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        ours = _RENAMED.get(self._site.arq(node))
        return None if ours is None else cst.Name(self._site.headway(ours))

    def leave_Raise(self, original_node: cst.Raise, updated_node: cst.Raise) -> cst.Raise:
        """Change `raise Retry`, which has no call."""
        if (
            original_node.exc is not None
            and self._site.arq(original_node.exc) == "Retry"
            and updated_node.exc is not None
        ):
            return updated_node.with_changes(
                exc=expression(f"{self._site.code(updated_node.exc)}(0, counts=True)")
            )
        return updated_node

    def leave_Annotation(self, original_node: cst.Annotation, updated_node: cst.Annotation) -> cst.Annotation:
        """Change the types that have become texts, and those that are quoted."""
        return updated_node.with_changes(annotation=pools.annotation(self._site, updated_node.annotation))
