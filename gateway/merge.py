"""One OpenAPI 3.1 document from those of the services: pure functions on plain dictionaries."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chassis.deprecation import Deprecation
from chassis.problems import MEDIA_TYPE
from gateway.table import METHODS

Document = dict[str, Any]

_REFERENCE = "#/components/{section}/{name}"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_EDGE_ANSWERS = {
    "400": ("BadRequest", "The request cannot be read: malformed JSON, a bad header, cursor or limit"),
    "401": ("Unauthorized", "No token, or one that does not hold"),
    "404": ("NotFound", "Unknown, or not yours to see"),
    "408": ("RequestTimeout", "The body took too long to arrive"),
    "413": ("PayloadTooLarge", "The body is over the cap"),
    "414": ("TargetTooLong", "The path and query are over the cap"),
    "415": ("UnsupportedMediaType", "The body is not application/json"),
    "429": ("TooManyRequests", "Over the rate limit; see Retry-After"),
    "431": ("HeadersTooLarge", "The headers are over the cap"),
    "503": ("Unavailable", "A dependency is down; see Retry-After"),
}


def merge(
    documents: Mapping[str, Document], *, version: str = "1", examples: Mapping[str, Mapping[str, Any]] | None = None
) -> Document:
    """The documents of the services, by name, as one; the same input gives the same output.

    `examples` has bodies of answers by operation id and status; those of what is not in the documents are left out.

    Each operation carries `x-service`. A component that two services define differently gets the service's name as
    its prefix in both.
    Raises: ValueError when two services claim one operation or operation id, an operation has none, security
    schemes differ, or a deprecated operation leads nowhere.
    """
    documents = {service: copy.deepcopy(document) for service, document in documents.items()}
    _separate_components(documents)
    merged: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "BTRST Network",
            "version": version,
            "summary": "A user-owned talent network: members, jobs, rewards and governance behind one gateway.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This gateway"}],
        "tags": [],
        "paths": {},
        "components": {},
    }
    for service, document in documents.items():
        _take_paths(merged, service, document)
        _take_components(merged, service, document)
    _check_deprecations(merged)
    _take_examples(merged, examples or {})
    _take_tags(merged, documents)
    for schema in merged["components"].get("schemas", {}).values():
        _restore_nulls(schema)
    merged["paths"] = dict(sorted(merged["paths"].items()))
    merged["components"] = {name: dict(sorted(part.items())) for name, part in sorted(merged["components"].items())}
    return merged


def to_bytes(document: Document) -> bytes:
    """The document as it is committed."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


# --- components -------------------------------------------------------------------------------------------------------


def _separate_components(documents: Mapping[str, Document]) -> None:
    """Rename, in every service, components of one name that do not mean the same in all."""
    for section in ("schemas", "responses", "parameters", "requestBodies", "headers", "examples"):
        for name in sorted(_clashes(documents, section)):
            for service, document in documents.items():
                parts = document.get("components", {}).get(section, {})
                if name in parts:
                    new = _prefixed(service, name)
                    parts[new] = parts.pop(name)
                    _rename(document, section, name, new)


def _clashes(documents: Mapping[str, Document], section: str) -> set[str]:
    """Names whose content differs, and names that lead to such names."""
    meanings: dict[str, list[Any]] = {}
    for document in documents.values():
        for name, content in document.get("components", {}).get(section, {}).items():
            meanings.setdefault(name, []).append(content)
    shared = {name: found for name, found in meanings.items() if len(found) > 1}
    clashing = {name for name, found in shared.items() if any(other != found[0] for other in found[1:])}
    while True:
        more = {
            name
            for name, found in shared.items()
            if name not in clashing and clashing & {ref.rpartition("/")[2] for ref in _references(found)}
        }
        if not more:
            return clashing
        clashing |= more


def _prefixed(service: str, name: str) -> str:
    return f"{service.capitalize()}{name[:1].upper()}{name[1:]}"


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _rename(node: Any, section: str, old: str, new: str) -> None:
    before, after = (_REFERENCE.format(section=section, name=name) for name in (old, new))
    if isinstance(node, dict):
        for key, value in node.items():
            if value == before:  # a $ref, or a discriminator's mapping
                node[key] = after
            else:
                _rename(value, section, old, new)
    elif isinstance(node, list):
        for value in node:
            _rename(value, section, old, new)


def _take_components(merged: Document, service: str, document: Document) -> None:
    for section, parts in document.get("components", {}).items():
        taken = merged["components"].setdefault(section, {})
        for name, content in parts.items():
            if taken.setdefault(name, content) != content:
                raise ValueError(f"{service} defines {section} {name} differently from the services before it")


def _restore_nulls(schema: Document) -> None:
    """Put back the nulls that FastAPI drops from examples."""
    nullable = {
        name
        for name, field in schema.get("properties", {}).items()
        if any(variant.get("type") == "null" for variant in field.get("anyOf", ()))
    }
    for example in schema.get("examples", ()):
        if isinstance(example, dict):
            example.update(dict.fromkeys(sorted(nullable & set(schema.get("required", ())) - set(example))))


# --- paths ------------------------------------------------------------------------------------------------------------


def _take_paths(merged: Document, service: str, document: Document) -> None:
    ids = {operation["operationId"]: path for path, _, operation in _operations(merged)}
    for path, method, operation in _operations(document):
        if path.startswith("/internal"):
            continue
        operation_id = operation.get("operationId")
        if not operation_id or not re.fullmatch(r"[a-z][a-z0-9_]*", operation_id):
            raise ValueError(f"{service}: {method} {path} needs an operation id in snake_case, not {operation_id!r}")
        if operation_id in ids:
            raise ValueError(f"{service}: {operation_id} of {path} is already the id of {ids[operation_id]}")
        ids[operation_id] = path
        taken = merged["paths"].setdefault(path, {})
        if method in taken:
            raise ValueError(f"{service}: {method} {path} belongs to {taken[method]['x-service']} already")
        operation["x-service"] = service
        operation.setdefault("security", document.get("security", []))
        operation.setdefault("tags", [service])
        _complete_responses(merged, path, operation)
        taken[method] = operation


def _check_deprecations(merged: Document) -> None:
    for path, method, operation in _operations(merged):
        try:
            found = Deprecation.of(operation)
        except ValueError as error:
            raise ValueError(f"{method} {path}: {error}") from error
        successor = None if found is None else found.successor
        if successor is not None and successor.startswith("/") and successor not in merged["paths"]:
            raise ValueError(f"{method} {path}: its successor {successor} is no path of this document")


def _take_examples(merged: Document, examples: Mapping[str, Mapping[str, Any]]) -> None:
    for _, _, operation in _operations(merged):
        for status, body in examples.get(operation["operationId"], {}).items():
            for content in operation["responses"].get(status, {}).get("content", {}).values():
                content["example"] = body


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _complete_responses(merged: Document, path: str, operation: Document) -> None:
    responses = operation.setdefault("responses", {})
    for status, response in responses.items():
        if status[0] in "45" and "$ref" not in response:
            response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
    wanted = {"400", "414", "429", "431", "503"}
    if operation["security"] or path.split("/")[2:3] != ["sessions"]:
        wanted.add("401")
    if "{" in path:
        wanted.add("404")
    if "requestBody" in operation:
        wanted |= {"408", "413", "415"}
    shared = merged["components"].setdefault("responses", {})
    for status in sorted(wanted - set(responses)):
        name, description = _EDGE_ANSWERS[status]
        shared.setdefault(name, {"description": description, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}})
        responses[status] = {"$ref": _REFERENCE.format(section="responses", name=name)}
    operation["responses"] = dict(sorted(responses.items()))


def _take_tags(merged: Document, documents: Mapping[str, Document]) -> None:
    described = {tag["name"]: tag for document in documents.values() for tag in document.get("tags", [])}
    used = {tag: None for _, _, operation in _operations(merged) for tag in operation["tags"]}
    merged["tags"] = [
        {
            "description": f"{name.replace('_', ' ').capitalize()} of the network",
            **described.get(name, {}),
            "name": name,
        }
        for name in sorted(used)
    ]
