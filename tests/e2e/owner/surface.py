"""What an OpenAPI document says of each operation, as far as the owner matrix needs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
ADDRESS = "^0x[0-9a-fA-F]{40}$"
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A field outside the path that names something which may be somebody else's."""

    where: str
    """query or body."""

    path: tuple[str, ...]
    kind: str
    """id, address or cursor."""

    @property
    def name(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    needs_token: bool
    ids: tuple[str, ...]
    """The path's parameters."""

    query: Mapping[str, Schema]
    required_query: frozenset[str]
    body: Schema | None
    """The body's schema without `$ref` at its top; None when it takes no body."""

    example: Any
    references: tuple[Reference, ...]
    streams: bool = False
    """Whether its answer has no end (Server-Sent Events)."""

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def fields(self) -> frozenset[str]:
        """The names that its body knows."""
        return frozenset((self.body or {}).get("properties", {}))

    @property
    def pages(self) -> bool:
        return "cursor" in self.query


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """Every operation of the document."""
    schemas = document.get("components", {}).get("schemas", {})
    return [
        _operation(method, path, item[method], schemas)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def _operation(method: str, path: str, said: Mapping[str, Any], schemas: Mapping[str, Schema]) -> Operation:
    parameters = said.get("parameters", [])
    query = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
    content = said.get("requestBody", {}).get("content", {}).get("application/json")
    body = None if content is None else _object_of(content["schema"], schemas)
    security = said.get("security", [])
    return Operation(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        needs_token=bool(security) and {} not in security,
        ids=tuple(one["name"] for one in parameters if one["in"] == "path"),
        query=query,
        required_query=frozenset(one["name"] for one in parameters if one["in"] == "query" and one.get("required")),
        body=body,
        example=None if body is None else content.get("example", (body.get("examples") or [None])[0]),
        references=(*_in("query", {"properties": query}, schemas), *(_in("body", body, schemas) if body else ())),
        streams="text/event-stream" in said["responses"].get("200", {}).get("content", {}),
    )


def _object_of(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """The schema of the object that a body is, or may be."""
    if "$ref" in schema:
        return _object_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return _object_of(choice, schemas)
    return schema


def _in(where: str, schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[Reference]:
    found = dict.fromkeys(_leaves(schema, schemas, ()))
    for path, kind in found:
        yield Reference(where, path, kind)


def _leaves(
    schema: Schema, schemas: Mapping[str, Schema], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The references below a schema; a list's items have their list's name."""
    if "$ref" in schema:
        yield from _leaves(schemas[schema["$ref"].rpartition("/")[2]], schemas, path)
        return
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _leaves(choice, schemas, path)
    if "items" in schema:
        yield from _leaves(schema["items"], schemas, path)
    for name, part in schema.get("properties", {}).items():
        yield from _leaves(part, schemas, (*path, name))
    if path and (kind := _kind_of(schema, path[-1])):
        yield path, kind


def _kind_of(schema: Schema, name: str) -> str | None:
    if schema.get("type") != "string":
        return None
    if schema.get("format") == "uuid" or name.endswith("_id"):
        return "id"
    if schema.get("pattern") == ADDRESS:
        return "address"
    return "cursor" if name == "cursor" else None
