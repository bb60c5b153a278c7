"""What a generator of requests cannot know of this API; loaded by the runs that `schemathesis.toml` describes."""

import re
from typing import Any
from uuid import uuid4

import schemathesis

_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make what fits the schema fit the rules that a schema cannot state; what does not fit it stays as it is."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _VALID_KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = str(uuid4())  # the same for two requests is 422 by design
    case.body = _fitting(case.body)
    for part in (case.query, case.path_parameters):
        for name, value in (part or {}).items():
            part[name] = _fitting(value)


def _fitting(value: Any) -> Any:
    """Capitals of an address are a checksum (EIP-55), small letters carry none. JSON Schema takes 5.0 for an integer;
    money is told in integers only."""
    if isinstance(value, dict):
        return {name: _fitting(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_fitting(item) for item in value]
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return value.lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
