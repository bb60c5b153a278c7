"""The page `docs/events.md`: topics, keys, types, fields with their units, order and delivery."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from events.schemas import FACTS

Schema = Mapping[str, Any]

_INTRODUCTION = """\
# Events

Generated from `events/` by `make events`; do not edit. How to read them: [consuming-events.md](consuming-events.md).
Machine-readable: `/asyncapi.json` of the gateway (AsyncAPI 3), and a JSON Schema (2020-12) for each type, linked below,
of the whole message (`#`) and of its data (`#/$defs/Data`).

## What holds for all of them
| promise | |
|---|---|
| form | CloudEvents 1.0, structured JSON in the value, header `content-type: application/cloudevents+json` |
| delivery | at least once; a repeated event is the same bytes with the same `id` |
| completeness | an event is stored in the unit of work of what it tells: neither exists without the other |
| order | by key: `sequence` is 1, 2, 3 … for each key of a topic, without a gap; none between keys or topics |
| key | UTF-8 text, equal to `subject`; murmur2 modulo the number of partitions, which never changes |
| size | an event is at most 1,000,000 bytes |
| units | the end of a field's name: `_cents` of USD, `_wei` BTRST × 10^18 (digits), `_e8` × 10^8, `_at` RFC 3339, UTC |
| change | additions only (a new type, a new field that may be missing); anything else is a `.v2` beside the `.v1` |
"""


def page(
    schemas: Mapping[str, Schema],
    published: Collection[str],
    readers: Mapping[str, Sequence[str]],
    dead_letters: Sequence[str],
) -> str:
    """The page. `schemas` by event type; who of our consumer groups reads a type; our dead-letter topics."""
    parts = [_INTRODUCTION, "\n".join(_topics(schemas, published)), "\n".join(_dead(dead_letters))]
    parts += ["\n".join(_type(name, schemas[name], name in published, readers.get(name, ()))) for name in schemas]
    return "\n".join(f"{part.strip()}\n" for part in parts)


def _topics(schemas: Mapping[str, Schema], published: Collection[str]) -> Iterator[str]:
    yield "## Topics"
    yield "| topic | key | partitions | types (* = declared, not published yet) |"
    yield "|---|---|---|---|"
    for topic in sorted({schema[FACTS]["topic"] for schema in schemas.values()}):
        types = [name for name, schema in schemas.items() if schema[FACTS]["topic"] == topic]
        facts = schemas[types[0]][FACTS]
        listed = ", ".join(
            f"[{_short(name, topic)}](#{_anchor(name)}){'' if name in published else '*'}" for name in types
        )
        yield f"| `{topic}` | `{facts['key']}` | {facts['partitions']} | {listed} |"


def _short(name: str, topic: str) -> str:
    return name.removeprefix(f"{topic}.")


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _dead(topics: Sequence[str]) -> Iterator[str]:
    yield "## Dead letters"
    yield "What one of our consumer groups cannot handle is copied to `<topic>.<group>.dlq`: value, key and headers as"
    yield "they were, and the headers `dlq-reason`, `dlq-partition`, `dlq-offset`, `dlq-attempts`. The topics are"
    yield ", ".join(f"`{topic}`" for topic in topics) + "."


def _type(name: str, schema: Schema, is_published: bool, readers: Sequence[str]) -> Iterator[str]:
    yield f"## {name}"
    read = ", ".join(readers) or "nobody of ours"
    state = f"Read by: {read}." if is_published else "Declared, not published yet."
    yield f"**{schema['title']}**: {schema['description']} {state} Schema: [{name}.json](events/{name}.json)."
    yield ""
    yield "| field | JSON | what |"
    yield "|---|---|---|"
    data = schema["$defs"]["Data"]
    required = data.get("required", ())
    for field, described in data["properties"].items():
        missing = "" if field in required else "; may be missing"
        yield f"| `{field}` | {_kind(described)}{missing} | {described['description']} |"


def _kind(schema: Schema) -> str:
    """What a value may be, in words."""
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    if values:
        return " / ".join(f"`{value}`" for value in values)
    kind = str(schema.get("type", "anything"))
    nested = {"array": "items", "object": "additionalProperties"}.get(kind)
    if nested:
        return f"{'list' if kind == 'array' else 'object'} of {_kind(schema[nested])}"
    return kind + _limits(schema)


def _limits(schema: Schema) -> str:
    if "format" in schema:
        return f" ({schema['format']})"
    if "pattern" in schema:
        return " of digits"
    bounds = [f"{schema[word]:,}" for word in ("minimum", "maximum") if word in schema]
    return f", from {' to '.join(bounds)}" if bounds else ""
