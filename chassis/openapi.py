"""What FastAPI's own OpenAPI document lacks: problem documents for errors, the Idempotency-Key header, deprecations."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from chassis.deprecation import Deprecation
from chassis.problems import MEDIA_TYPE, Problem
from chassis.sse import MEDIA_TYPE as STREAM_TYPE

_IDEMPOTENCY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and request give the same answer for at least 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
}
"""Without an example: two calls that were tried out with the same key would get in each other's way."""

_WHO = {"required": "Required with a token, ignored without one.", "accepted": "Ignored without a token."}


def describe(app: FastAPI) -> None:
    """Let `app.openapi()` tell what the chassis adds to every endpoint."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _complete(document, app)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], app: FastAPI) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    endpoints = _endpoints(app)
    for operations in document.get("paths", {}).values():
        for method, operation in operations.items():
            endpoint = endpoints.get(operation.get("operationId", ""))
            _complete_operation(operation)
            operation.update(_deprecation(endpoint))
            rule = getattr(endpoint, "__idempotency__", "accepted")
            if method == "post" and rule != "ignored":
                operation.setdefault("parameters", []).append(_idempotency_key(operation, rule))


def _idempotency_key(operation: dict[str, Any], rule: str) -> dict[str, Any]:
    """The header as this operation takes it: where anyone may call, it is never required of everyone."""
    if operation.get("security"):
        return {**_IDEMPOTENCY, "required": rule == "required"}
    return {**_IDEMPOTENCY, "description": f"{_WHO[rule]} {_IDEMPOTENCY['description']}", "required": False}


def _complete_operation(operation: dict[str, Any]) -> None:
    """Errors are problem documents; a stream is text, and its model the JSON that is in there.

    Source: JSON Schema 2020-12, section 8 (`contentSchema`): OpenAPI 3.1 has no `itemSchema` yet.
    """
    invalid = operation["responses"].get("422")
    if invalid is not None:
        invalid["description"] = "A field has a value it may not have"
        invalid["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    stream = operation["responses"].get("200", {}).get("content", {}).get(STREAM_TYPE)
    if stream is not None:
        model = {"$ref": stream["schema"]["$ref"]}
        stream["schema"] = {"type": "string", "contentMediaType": STREAM_TYPE, "contentSchema": model}


def _deprecation(endpoint: Any) -> dict[str, Any]:
    found: Deprecation | None = getattr(endpoint, "__deprecation__", None)
    return {} if found is None else found.describe()


def _endpoints(app: FastAPI) -> dict[str, Any]:
    """The endpoints by their operation's id."""
    found: dict[str, Any] = {}

    def walk(routes: Any) -> None:
        for route in routes:
            if isinstance(route, APIRoute):
                found[route.operation_id or ""] = route.endpoint
            elif hasattr(route, "routes"):
                walk(route.routes)
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes)

    walk(app.routes)
    return found
