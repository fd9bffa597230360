"""The OpenAPI 3.1 document, made from the table of routes and the types of its operations."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headway.server.access.caller import Role
from headway.server.rest.operation import NoQuery
from headway.server.rest.problem import MEDIA_TYPE, STATUSES, TITLES, Problem
from headway.server.rest.table import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.app.app import Headway
    from headway.server.rest.operation import Operation, Route

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATHS: Final = {
    "job_id": {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{20}$"},
    "act_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "migration": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "group": {"type": "string", "pattern": "^[0-9a-z]{1,40}$"},
    "key": {"type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{1,40}$"},
}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 200}
_ROLES: Final = {
    None: "Anybody may call this.",
    Role.READ: "Role: read.",
    Role.OPERATE: "Role: operate.",
    Role.ADMIN: "Role: admin.",
}


def openapi_document(app: Headway, routes: Iterable[Route] = ROUTES) -> dict[str, Any]:
    """Return the document for an app: the names of its tasks stand in it."""
    chosen = list(routes)
    kinds = [Problem]
    for route in chosen:
        kinds += [one for one in (route.operation.body, route.operation.answer) if one is not None]
        kinds += [one.type for one in msgspec.structs.fields(route.operation.query)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    if "CreateJob" in components and app.known_tasks:
        components["CreateJob"]["properties"]["task"]["enum"] = sorted(app.known_tasks)
    paths: dict[str, dict[str, Any]] = {}
    for route in chosen:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Headway: {app.name}",
            "version": version("headway"),
            "description": "Jobs, queues, schedules, workers, routes and roll-outs of one app.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "responses": {str(status): _problem(status) for status in STATUSES},
        },
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in chosen)],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation = route.operation
    summary, _, more = operation.summary.partition("\n")
    described = f"{more.strip()}\n\n{_ROLES[route.role]}".strip()
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary,
        "description": described,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route.path), *_query_parameters(operation, schemas)],
        "responses": _responses(route, schemas),
    }
    if route.role is None:
        made["security"] = []
    if route.method == "POST" and route.role is not None:
        made["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same request with the same key is answered as the first one was, for a day.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
    if operation.body is not None:
        content: dict[str, Any] = {"schema": schemas[_key(operation.body)]}
        if operation.example is not None:
            content["examples"] = {"example": {"value": operation.example}}
        made["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": content},
        }
    return made


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATHS.get(name, _NAME)}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is NoQuery:
        return []
    found: list[dict[str, Any]] = []
    for one in msgspec.structs.fields(operation.query):
        schema = _without_null(schemas[_key(one.type)])
        parameter: dict[str, Any] = {
            "name": one.encode_name,
            "in": "query",
            "required": one.required,
            "schema": schema,
        }
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        if one.default not in {msgspec.NODEFAULT, None, ()}:
            schema["default"] = msgspec.to_builtins(one.default)
        found.append(parameter)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, which may be left out and cannot be null."""
    options = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    return dict(options[0]) if len(options) == 1 else dict(schema)


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation = route.operation
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content = {operation.media_type: {"schema": schemas[_key(operation.answer)]}}
    headers = _HEADERS if route.role is not None else {}
    found: dict[str, Any] = {
        str(operation.status): {"description": "Done.", "headers": headers, "content": content}
    }
    if operation.name == "readyz":
        found["503"] = {"description": "Something does not answer.", "content": content}
    for status in STATUSES:
        found.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    return found


_HEADERS: Final = {
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "How many requests in which time."},
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "How many are left, and for how many seconds.",
    },
}


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": TITLES[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }


def _key(kind: Any) -> str:  # noqa: ANN401 - any type
    return repr(kind)
