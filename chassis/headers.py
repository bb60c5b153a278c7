"""Record headers as bytes in a column: JSON, each value read as Latin-1, which fits any byte."""

import json
from functools import lru_cache

from chassis.bus import Headers


@lru_cache(maxsize=4_096)
def pack_headers(headers: Headers) -> bytes:
    """`headers` for a column."""
    return json.dumps([[name, value.decode("latin-1")] for name, value in headers]).encode()


@lru_cache(maxsize=4_096)
def unpack_headers(packed: bytes) -> Headers:
    """What `pack_headers` was given."""
    return tuple((name, value.encode("latin-1")) for name, value in json.loads(packed))
