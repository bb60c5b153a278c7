"""Answers that come in one piece, as nearly all do: read without the parser when their head leaves no question.

Anything unusual is not refused here but left to the parser: another version, an interim or empty answer, a coding, a
connection that ends, a length that does not fit. Servers repeat most of their heads byte by byte, so what a head and
what a line of it means is remembered.
"""

import re
from typing import Any, NamedTuple

from chassis.memo import Memo

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t -~]*")
_UNFIT = re.compile(rb"[\r\n\0]")
_QUESTIONS = frozenset({b"transfer-encoding", b"connection", b"upgrade", b"trailer", b"keep-alive"})
_WITHOUT_BODY = frozenset({204, 205, 304})


class Field(NamedTuple):
    """A header field of an answer."""

    name: bytes
    """In lower case."""

    value: bytes
    line: bytes
    """As it came."""

    length: int | None
    """What a Content-Length says."""


class Head:
    """The head of an answer with a length, shared by all the answers that have it."""

    __slots__ = ("fields", "length", "passed", "status")

    def __init__(self, status: int, fields: tuple[Field, ...], length: int) -> None:
        self.status = status
        self.fields = fields
        self.length = length
        """Of the body, in bytes."""

        self.passed: Any = None
        """What whoever passes the answer on makes of the head, kept here by them."""


def read_whole(data: bytes, echo: bytes = b"") -> tuple[Head, bytes] | None:
    """Head and body of the answer in `data`, if that is exactly one, with a length; else None.

    `echo` are lines (each with the line break before it) that the head may end in and that its reader does not want:
    ids that are other ones in each answer, and would make each head another one.
    Source: RFC 9112 sections 4, 5 and 6.3; RFC 9110 section 5.6.2 (names are tokens).
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:  # not even the head is complete, whatever length it has announced so far
        return None
    cut = end - len(echo)
    head = _heads[data[:cut] if cut > 0 and data.startswith(echo, cut) else data[:end]]
    if head is None or len(data) - end - 4 != head.length:
        return None
    return head, data[end + 4 :]


def _read_head(head: bytes) -> Head | None:
    """The head without the empty line; None for one that the parser has to look at."""
    lines = head.split(b"\r\n")
    status = _statuses[lines[0]]
    if not status:
        return None
    del lines[0]
    length = -1
    fields = []
    for line in lines:
        field = _fields[line]
        if field is None:
            return None
        if field[3] is not None:
            if length >= 0:
                return None
            length = field[3]
        fields.append(field)
    return Head(status, tuple(fields), length) if length >= 0 else None


def _read_status(line: bytes) -> int:
    """The status; 0 for a line that the parser has to look at."""
    found = _STATUS_LINE.fullmatch(line)
    status = int(found.group(1)) if found else 0
    return 0 if status in _WITHOUT_BODY else status


def _read_field(line: bytes) -> Field | None:
    """The field; None for a line that the parser has to look at."""
    raw, colon, rest = line.partition(b":")
    name, value = raw.lower(), rest.strip(b" \t")
    if not colon or not _TOKEN.fullmatch(raw) or _UNFIT.search(line):
        return None
    if name == b"content-length":
        return Field(name, value, line, int(value)) if value.isdigit() and len(value) < 16 else None
    if name in _QUESTIONS and value.lower() != b"keep-alive":
        return None
    return Field(name, value, line, None)


_statuses = Memo(_read_status)
_fields = Memo(_read_field)
_heads = Memo(_read_head, most=1024, longest=1024)
