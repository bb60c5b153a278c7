"""Tells what a new OpenAPI document takes away from those who rely on the old one: pure functions on dictionaries."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.table import METHODS

Node = Mapping[str, Any]


def breaking_changes(old: Node, new: Node) -> list[str]:
    """One line for each change that can break a client of `old`.

    Breaking: a removed path, method, operation id, success status or parameter; a body, parameter or request field
    that is newly required; a field of an answer that is gone or no longer certain; a type that changed, an enum that
    lost a value in a request or gained one in an answer; a token that is newly needed.
    """
    return list(_paths(old, new))


def _paths(old: Node, new: Node) -> Iterator[str]:
    for path, item in old["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            where = f"{method.upper()} {path}"
            changed = new["paths"].get(path, {}).get(method)
            if changed is None:
                yield f"{where} is gone"
            else:
                yield from _operation(where, item[method], changed, old, new)


def _operation(where: str, before: Node, after: Node, old: Node, new: Node) -> Iterator[str]:
    if before.get("operationId") != after.get("operationId"):
        yield f"{where}: operation id {before.get('operationId')} became {after.get('operationId')}"
    if after.get("security") and not before.get("security"):
        yield f"{where}: needs a token now"
    yield from _parameters(where, before, after, old, new)
    yield from _request(where, before, after, old, new)
    for status, response in before.get("responses", {}).items():
        if not status.startswith("2"):
            continue
        answer = after.get("responses", {}).get(status)
        if answer is None:
            yield f"{where}: no longer answers {status}"
            continue
        schemas = (_json_schema(response, old), _json_schema(answer, new))
        yield from _Comparison(old, new, answer=True).compare(f"{where} {status}", *schemas)


def _parameters(where: str, before: Node, after: Node, old: Node, new: Node) -> Iterator[str]:
    had = {(item["in"], item["name"]): item for item in (_resolve(each, old) for each in before.get("parameters", []))}
    has = {(item["in"], item["name"]): item for item in (_resolve(each, new) for each in after.get("parameters", []))}
    for key, item in had.items():
        if key not in has:
            yield f"{where}: parameter {key[1]} is gone"
            continue
        schemas = (item.get("schema", {}), has[key].get("schema", {}))
        yield from _Comparison(old, new, answer=False).compare(f"{where} ?{key[1]}", *schemas)
    for key, item in has.items():
        if item.get("required") and not had.get(key, {}).get("required"):
            yield f"{where}: parameter {key[1]} is required now"


def _request(where: str, before: Node, after: Node, old: Node, new: Node) -> Iterator[str]:
    had, has = (_resolve(item.get("requestBody", {}), root) for item, root in ((before, old), (after, new)))
    if has.get("required") and not had.get("required"):
        yield f"{where}: a body is required now"
    if had and has:
        schemas = (_json_schema(had, old), _json_schema(has, new))
        yield from _Comparison(old, new, answer=False).compare(f"{where} body", *schemas)


def _json_schema(holder: Node, root: Node) -> Node:
    found: Node = _resolve(holder, root).get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _resolve(node: Node, root: Node) -> Node:
    while "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


class _Comparison:
    """Compares two schemas through their references; each pair once, since schemas may be recursive."""

    def __init__(self, old: Node, new: Node, *, answer: bool) -> None:
        self._old = old
        self._new = new
        self._answer = answer
        self._seen: set[tuple[str, str]] = set()

    def compare(self, where: str, before: Node, after: Node) -> Iterator[str]:
        pair = (before.get("$ref", ""), after.get("$ref", ""))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        before, after = _resolve(before, self._old), _resolve(after, self._new)
        if before.get("type") != after.get("type") or before.get("format") != after.get("format"):
            yield f"{where}: {_kind(before)} became {_kind(after)}"
            return
        yield from self._values(where, before, after)
        yield from self._properties(where, before, after)
        if "items" in before:
            yield from self.compare(f"{where}[]", before["items"], after.get("items", {}))
        yield from self._variants(where, before, after)

    def _values(self, where: str, before: Node, after: Node) -> Iterator[str]:
        had, has = (_values_of(node) for node in (before, after))
        if not self._answer and has is not None and (had is None or had - has):
            yield f"{where}: takes fewer values now"
        if self._answer and had is not None and (has is None or has - had):
            yield f"{where}: may answer other values now"

    def _properties(self, where: str, before: Node, after: Node) -> Iterator[str]:
        had, has = before.get("properties", {}), after.get("properties", {})
        for name, schema in had.items():
            if name not in has:
                yield f"{where}.{name} is gone"
            else:
                yield from self.compare(f"{where}.{name}", schema, has[name])
        had_required, has_required = set(before.get("required", ())), set(after.get("required", ()))
        if self._answer:
            for name in sorted((had_required - has_required) & set(has)):
                yield f"{where}.{name} may be missing now"
        else:
            for name in sorted(has_required - had_required):
                yield f"{where}.{name} is required now"

    def _variants(self, where: str, before: Node, after: Node) -> Iterator[str]:
        for word in ("anyOf", "oneOf", "allOf"):
            had, has = before.get(word, []), after.get(word, [])
            if len(had) > len(has) or (self._answer and len(had) < len(has) and had):
                yield f"{where}: {word} has {len(has)} variants, not {len(had)}"
            for index, (first, second) in enumerate(zip(had, has, strict=False)):
                yield from self.compare(f"{where}({index})", first, second)


def _values_of(node: Node) -> set[str] | None:
    if "const" in node:
        return {repr(node["const"])}
    return {repr(value) for value in node["enum"]} if "enum" in node else None


def _kind(node: Node) -> str:
    return " ".join(str(node[word]) for word in ("type", "format") if word in node) or "anything"
