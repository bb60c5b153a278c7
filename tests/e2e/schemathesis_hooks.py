"""What a generator of requests cannot know of this API; loaded by the run that `schemathesis.toml` describes."""

import re
from typing import Any
from uuid import uuid4

import schemathesis

_VALID_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Never the same Idempotency-Key for two requests, which is 422 by design; one that is malformed stays so."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _VALID_KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = str(uuid4())
