"""What FastAPI's own OpenAPI document lacks: problem documents for errors, and the Idempotency-Key header."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from chassis.problems import MEDIA_TYPE, Problem

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and request give the same answer for at least 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    "example": "0192f3a4-pay-invoice-1",
}


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
    rules = _idempotency_rules(app)
    for operations in document.get("paths", {}).values():
        for method, operation in operations.items():
            _complete_operation(operation)
            rule = rules.get(operation.get("operationId", ""), "accepted")
            if method == "post" and rule != "ignored" and operation.get("security"):
                operation.setdefault("parameters", []).append({**_IDEMPOTENCY, "required": rule == "required"})


def _complete_operation(operation: dict[str, Any]) -> None:
    invalid = operation["responses"].get("422")
    if invalid is not None:
        invalid["description"] = "A field has a value it may not have"
        invalid["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _idempotency_rules(app: FastAPI) -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(routes: Any) -> None:
        for route in routes:
            if isinstance(route, APIRoute):
                found[route.operation_id or ""] = getattr(route.endpoint, "__idempotency__", "accepted")
            elif hasattr(route, "routes"):
                walk(route.routes)
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes)

    walk(app.routes)
    return found
