"""The route table: which service answers a method and path. Built from the OpenAPI document, never from a request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.fields import NO_FIELDS, Fields
from gateway.notices import notice_of

METHODS = ("get", "put", "post", "delete", "patch", "options", "head")
_KEPT_PATHS = 10_000
_PARAMETER = re.compile(r"\{[^{}/]+\}")
_PLAIN = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


Access = Literal["needed", "optional", "ignored"]
"""What a token means to an operation."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one service."""

    service: str
    method: str
    path: str
    needs_token: bool
    ignores_token: bool
    """Sessions: whoever logs in or refreshes may carry an old token, which says nothing there."""

    is_stream: bool = False
    """Its answer lasts as long as its reader likes."""

    notice: Fields = NO_FIELDS
    """What its answers say when it is deprecated."""

    @property
    def access(self) -> Access:
        """What it does with tokens."""
        return "ignored" if self.ignores_token else "needed" if self.needs_token else "optional"


@dataclass(slots=True)
class _Node:
    literals: dict[bytes, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    operations: dict[str, Operation] = field(default_factory=dict)


class RouteTable:
    """Matches raw (still percent-encoded) paths segment by segment; a literal segment goes before a parameter."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        self._found: dict[bytes, Mapping[str, Operation]] = {}
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        if operation.path.split("/")[1:2] == ["internal"]:
            raise ValueError(f"{operation.path} is internal and must not be routed")
        node = self._root
        for segment in operation.path.split("/")[1:]:
            if _PARAMETER.fullmatch(segment):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment.encode("ascii"), _Node())
        if operation.method in node.operations:
            raise ValueError(f"two operations are {operation.method} {operation.path}")
        node.operations[operation.method] = operation

    def find(self, raw_path: bytes) -> Mapping[str, Operation] | None:
        """The operations of a path by method, or None for an unknown path. A GET also answers HEAD."""
        known = self._found.get(raw_path)
        if known is not None:
            return known
        segments = raw_path.split(b"/")
        if segments[0] or len(segments) < 2:
            return None
        node = _walk(self._root, segments, 1)
        if node is None:
            return None
        if len(self._found) >= _KEPT_PATHS:
            self._found.clear()
        self._found[raw_path] = node.operations
        return node.operations


def _walk(node: _Node, segments: list[bytes], index: int) -> _Node | None:
    if index == len(segments):
        return node if node.operations else None
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, index + 1)
        if found is not None:
            return found
    if node.parameter is not None and _is_value(segment):
        return _walk(node.parameter, segments, index + 1)
    return None


def _is_value(segment: bytes) -> bool:
    """Whether every reader decodes this segment to the same one segment.

    So no slash, backslash or control byte in an escape, no escape of a byte that needs none (`%2e`), no dot
    segment. Source: RFC 3986 sections 2.3 and 3.3.
    """
    if segment in (b"", b".", b".."):
        return False
    if _PLAIN.fullmatch(segment):
        return True
    for escape in _ESCAPE.findall(segment):
        byte = int(escape, 16)
        if byte in _UNRESERVED or byte < 0x20 or byte in b"/\\\x7f":
            return False
    rest = _ESCAPE.sub(b"", segment)
    return not rest or _PLAIN.fullmatch(rest) is not None


def allowed(operations: Mapping[str, Operation]) -> str:
    """The value of `Allow` for a path."""
    methods = set(operations)
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    """The operations of a merged document.

    Raises: ValueError when one does not name its service, or is deprecated without saying since when.
    """
    found = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            described = item[method]
            service = described.get("x-service")
            if not isinstance(service, str):
                raise ValueError(f"{method} {path} names no service")
            schemes = described.get("security", document.get("security")) or ()
            needs_token = bool(schemes) and {} not in schemes  # {}: a token may come, or none
            ignores_token = not needs_token and path.split("/")[2:3] == ["sessions"]
            found.append(
                Operation(
                    service,
                    method.upper(),
                    path,
                    needs_token,
                    ignores_token,
                    is_stream=_is_stream(described),
                    notice=notice_of(described),
                )
            )
    return found


def _is_stream(described: Mapping[str, Any]) -> bool:
    return "text/event-stream" in described.get("responses", {}).get("200", {}).get("content", {})
