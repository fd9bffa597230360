"""The tasks of an app, with what their calls must look like."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from headway.codec import to_builtin
from headway.server.services.problems import NotFoundError

if TYPE_CHECKING:
    from headway.app.task import Task
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class TaskView(Struct, frozen=True, kw_only=True):
    """A task. `arguments` is the JSON Schema of an object with `args` (a list) and `kwargs` (an object)."""

    name: str
    queue: str
    priority: int
    timeout_ms: int
    max_attempts: int
    run_in: str
    tags: tuple[str, ...]
    unique: bool
    doc: str
    arguments: dict[str, Any]
    result: dict[str, Any]


class Tasks:
    """The tasks of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def list(self, caller: Caller) -> list[TaskView]:
        """Return the tasks within the caller's scope, by name."""
        tasks = self._shared.app.tasks
        return [
            task_view(tasks[name])
            for name in sorted(tasks)
            if caller.scope.has_job(tasks[name].options_declared.queue, name)
        ]

    def get(self, caller: Caller, name: str) -> TaskView:
        """Return one task; NotFoundError."""
        task = self._shared.app.known_tasks.get(name)
        if task is None or not caller.scope.has_job(task.options_declared.queue, task.name):
            msg = f"there is no task {name!r}"
            raise NotFoundError(msg)
        return task_view(task)


def task_view(task: Task[Any, Any]) -> TaskView:
    """Return a task as others see it."""
    declared = task.options_declared
    return TaskView(
        name=task.name,
        queue=declared.queue,
        priority=declared.priority,
        timeout_ms=declared.timeout_ms,
        max_attempts=declared.retry.max_attempts,
        run_in=declared.run_in,
        tags=task.tags,
        unique=declared.unique is not None,
        doc=inspect.getdoc(task.fn) or "",
        arguments=arguments_schema(task),
        result=_schema(task.signature.result_type),
    )


def arguments_schema(task: Task[Any, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a call's `args` and `kwargs`.

    An argument may be given by its place or by its name; that each required one is given, once, is checked when the job
    is made, and is more than this schema says.
    """
    parameters = list(inspect.signature(task.fn).parameters.values())
    if task.signature.takes_context:
        parameters = parameters[1:]
    by_place = [one for one in parameters if one.kind in _POSITIONAL]
    more = next((one for one in parameters if one.kind is one.VAR_POSITIONAL), None)
    more_named = next((one for one in parameters if one.kind is one.VAR_KEYWORD), None)
    named = [one for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}]
    only_named = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    args: dict[str, Any] = {"type": "array", "items": False if more is None else _parameter(task, more)}
    if by_place:
        args["prefixItems"] = [_parameter(task, one) for one in by_place]
    if needed := sum(1 for one in by_place if one.kind is one.POSITIONAL_ONLY and one.default is one.empty):
        args["minItems"] = needed
    kwargs: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: _parameter(task, one) for one in named},
        "additionalProperties": False if more_named is None else _parameter(task, more_named),
    }
    if only_named:
        kwargs["required"] = only_named
    return {"type": "object", "properties": {"args": args, "kwargs": kwargs}}


def _parameter(task: Task[Any, Any], parameter: inspect.Parameter) -> dict[str, Any]:
    schema = dict(_schema(task.signature.type_of(parameter.name)))
    schema.setdefault("title", parameter.name)
    if parameter.default is not parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
        try:
            schema["default"] = msgspec.to_builtins(parameter.default, enc_hook=to_builtin, str_keys=True)
        except (TypeError, ValueError):
            schema["description"] = "has a default"
    return schema


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    """Return the JSON Schema of a type; that of anything where nothing is known of it."""
    try:
        return msgspec.json.schema(kind, schema_hook=_of_model)
    except Exception:  # noqa: BLE001 - also whatever a model raises when it is asked for its schema
        return {}


def _of_model(kind: type) -> dict[str, Any]:
    """Return the schema of a pydantic model, or of anything with the same method."""
    model: Any = kind
    made: dict[str, Any] = model.model_json_schema() if hasattr(model, "model_json_schema") else {}
    return made
