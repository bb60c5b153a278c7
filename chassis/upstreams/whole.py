"""Answers that come in one piece, as nearly all do: read without the parser when their head leaves no question.

Anything unusual is not refused here but left to the parser: another version, an interim or empty answer, a coding, a
connection that ends, a length that does not fit.
"""

import re

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t -~]*")
_QUESTIONS = frozenset({b"transfer-encoding", b"connection", b"upgrade", b"trailer", b"keep-alive"})
_KEPT_NAMES = 512
_WITHOUT_BODY = frozenset({204, 205, 304})


_names: dict[bytes, bytes] = {}
_statuses: dict[bytes, int] = {}


def read_whole(data: bytes) -> tuple[int, list[bytes], list[bytes], bytes] | None:
    """Status, names, fields and body of the answer in `data`, if that is exactly one, with a length; else None.

    Names are in lower case; the fields are lines as they came, in the same order.
    Source: RFC 9112 sections 4, 5 and 6.3; RFC 9110 section 5.6.2 (names are tokens).
    """
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        return None
    status = _statuses.get(lines[0]) or _status_of(lines[0])
    if not status:
        return None
    del lines[0]
    names = []
    length = -1
    for line in lines:
        colon = line.find(b":")
        raw = line[:colon] if colon > 0 else b""
        name = _names.get(raw) or _name_of(raw)
        if name == b"content-length":
            text = line[colon + 1 :].strip(b" \t")
            if length >= 0 or not text.isdigit():
                return None
            length = int(text)
        elif not name or (name in _QUESTIONS and line[colon + 1 :].strip().lower() != b"keep-alive"):
            return None
        names.append(name)
    return (status, names, lines, body) if length == len(body) else None


def _status_of(line: bytes) -> int:
    found = _STATUS_LINE.fullmatch(line)
    status = int(found.group(1)) if found else 0
    if status in _WITHOUT_BODY:
        return 0
    if status and len(_statuses) < _KEPT_NAMES:
        _statuses[line] = status
    return status


def _name_of(raw: bytes) -> bytes:
    if not _TOKEN.fullmatch(raw):
        return b""
    name = raw.lower()
    if len(_names) < _KEPT_NAMES:
        _names[raw] = name
    return name
