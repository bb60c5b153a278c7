"""Tells what a new set of event schemas breaks for those who rely on the old one: pure functions on dictionaries.

Events stay in the log, and their consumers are not ours to update. So a type must stay the same in both directions:
who knows the old schema reads new events, and who knows the new one reads the old events of the log.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from events.schemas import FACTS

Node = Mapping[str, Any]

_TOLD = {"title", "description", "examples", "deprecated", "$comment", "$id", "$schema", "$defs", "readOnly"}
"""Words that say something to people and nothing to a validator."""

_WALKED = {
    "type",
    "format",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "anyOf",
    "enum",
    "const",
    "$ref",
}
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}


def breaking_changes(old: Mapping[str, Node], new: Mapping[str, Node]) -> list[str]:
    """One line for each change of these schemas (event type → schema) that can break a consumer.

    Breaking: a type that is gone; another topic, key, number of partitions or header; a field that is gone, newly
    required or no longer certain; another type, format, pattern or default; an enum or a bound that takes more or
    less; a word of the schema that this module does not know. Not breaking: a new type, a new field with a default, a
    better description or example.
    """
    return list(_types(old, new))


def _types(old: Mapping[str, Node], new: Mapping[str, Node]) -> Iterator[str]:
    for name, schema in old.items():
        if name not in new:
            yield f"{name} is gone"
            continue
        yield from _facts(name, schema.get(FACTS, {}), new[name].get(FACTS, {}))
        yield from _compare(name, schema, new[name], (schema, new[name]))


def _facts(where: str, before: Node, after: Node) -> Iterator[str]:
    for fact in sorted({*before, *after}):
        if before.get(fact) != after.get(fact):
            yield f"{where}: {fact} {before.get(fact)} became {after.get(fact)}"


def _resolve(node: Node, root: Node) -> Node:
    while "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _compare(where: str, before: Node, after: Node, roots: tuple[Node, Node]) -> Iterator[str]:
    before, after = _resolve(before, roots[0]), _resolve(after, roots[1])
    if _kinds(before, roots[0]) != _kinds(after, roots[1]):
        yield f"{where}: {_shown(before, roots[0])} became {_shown(after, roots[1])}"
        return
    yield from _values(where, before, after)
    yield from _words(where, before, after)
    yield from _properties(where, before, after, roots)
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        yield from _nested(f"{where}{mark}", before.get(word), after.get(word), roots)
    for first, second in zip(_variants(before, roots[0]), _variants(after, roots[1]), strict=True):
        yield from _compare(where, first, second, roots)


def _nested(where: str, before: object, after: object, roots: tuple[Node, Node]) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _compare(where, before, after, roots)
    elif before != after:
        yield f"{where}: {'closed' if after is False else 'changed'}"


def _properties(where: str, before: Node, after: Node, roots: tuple[Node, Node]) -> Iterator[str]:
    had, has = before.get("properties", {}), after.get("properties", {})
    for name, schema in had.items():
        if name not in has:
            yield f"{where}.{name} is gone"
        else:
            yield from _compare(f"{where}.{name}", schema, has[name], roots)
    had_required, has_required = set(before.get("required", ())), set(after.get("required", ()))
    for name in sorted(has_required - had_required):
        yield f"{where}.{name} is required now: the events of the log may lack it"
    for name in sorted((had_required - has_required) & set(has)):
        yield f"{where}.{name} may be missing now"


def _values(where: str, before: Node, after: Node) -> Iterator[str]:
    had, has = _values_of(before), _values_of(after)
    if had == has:
        return
    if had is not None and (has is None or has - had):
        yield f"{where}: may hold other values now"
    if has is not None and (had is None or had - has):
        yield f"{where}: takes fewer values now"


def _values_of(node: Node) -> set[str] | None:
    if "const" in node:
        return {repr(node["const"])}
    return {repr(value) for value in node["enum"]} if "enum" in node else None


def _words(where: str, before: Node, after: Node) -> Iterator[str]:
    """Bounds, patterns, defaults, and whatever else a validator heeds."""
    for word in sorted({*before, *after} - _TOLD - _WALKED - {FACTS}):
        first, second = before.get(word), after.get(word)
        if first != second:
            yield f"{where}: {word} {first} became {second}{_direction(word, first, second)}"


def _direction(word: str, before: Any, after: Any) -> str:
    if word not in _LOWER | _UPPER:
        return ""
    if before is None or after is None:
        return " (narrower)" if before is None else " (wider)"
    return " (narrower)" if (after > before) == (word in _LOWER) else " (wider)"


def _variants(node: Node, root: Node) -> list[Node]:
    return sorted((_resolve(each, root) for each in node.get("anyOf", ())), key=_kind)


def _kinds(node: Node, root: Node) -> list[str]:
    """What a value may be, without regard to order: `anyOf` is no more than that here."""
    return [_kind(each) for each in _variants(node, root)] or [_kind(node)]


def _kind(node: Node) -> str:
    return " ".join(str(node[word]) for word in ("type", "format") if word in node) or "anything"


def _shown(node: Node, root: Node) -> str:
    return " or ".join(_kinds(node, root))
