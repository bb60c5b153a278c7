"""JSON as RFC 8259 has it and no more: no NaN, no duplicate keys, no lone surrogates, no bottomless nesting."""

import json
import math
import re
from typing import Any

from chassis.errors import BadRequest

MAX_DEPTH = 32


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same key twice in an object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


def check_text(text: str) -> bool:
    """False for text that holds NUL or half of a surrogate pair, which PostgreSQL cannot store."""
    if text.isascii():
        return "\x00" not in text
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_texts(value: Any) -> None:
    """Walk the value, whose depth is known to be small, without recursion. Raises: ValueError for text that is none."""
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if not check_text(item):
                    raise ValueError("a string holds a character that no text may hold")
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item.keys())
                below.extend(item.values())
        level = below


_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]')


def check_depth(raw: bytes) -> None:
    """Measure the nesting before the parser recurses: how much it survives depends on the process, not on us.

    Raises: ValueError when it is too deep.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(raw):
        first = token[0][:1]
        depth += (first in b"[{") - (first in b"]}")
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)


def load(raw: bytes) -> Any:
    """The value that `raw` holds.

    Raises: BadRequest `malformed_json`. Source: RFC 8259; RFC 7493 (unique keys, no surrogates).
    """
    try:
        check_depth(raw)
        value = _DECODER.decode(raw.decode("utf-8"))
        if b"\\u" in raw:  # UTF-8 has no surrogates and JSON no bare NUL: only an escape can bring one in
            _check_texts(value)
    except ValueError as error:
        text = error.msg if isinstance(error, json.JSONDecodeError) else str(error).partition("\n")[0]
        raise BadRequest(f"The body is not JSON we accept: {text[:200]}", code="malformed_json") from error
    return value


def dump_compact(value: Any) -> bytes:
    """`value` as the shortest JSON text."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
