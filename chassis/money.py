"""Integers for money and tokens: how they look in JSON, and the one division they are allowed."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

BPS = 10_000
"""Basis points in the whole."""

WEI_PER_BTRST = 10**18
MAX_CENTS = 10**13
"""The largest USD amount accepted anywhere: 100 billion dollars, in cents."""

MAX_UINT256 = 2**256 - 1
_DIGITS = re.compile(r"(?:0|-?[1-9][0-9]{0,77})", re.ASCII)


def mul_div_floor(value: int, numerator: int, denominator: int) -> int:
    """⌊value × numerator / denominator⌋ in exact integers.

    Raises: ZeroDivisionError if the denominator is 0.
    """
    return value * numerator // denominator


def _digits_to_int(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a decimal digit string is expected")
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise ValueError("a decimal digit string is expected")


def _json_digits(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a decimal digit string is expected")
    return _digits_to_int(value)


Wei = Annotated[
    int,
    BeforeValidator(_digits_to_int),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^-?[0-9]{1,78}$"}),
]
"""BTRST × 10^18. A digit string in JSON (a number would lose digits in JavaScript), an int inside."""

PositiveWei = Annotated[
    int,
    Field(ge=1, le=MAX_UINT256),
    BeforeValidator(_json_digits),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,77}$"}),
]
"""An amount of wei in a request: a digit string from 1 to 2^256 − 1."""

AmountCents = Annotated[int, Field(strict=True, ge=1, le=MAX_CENTS)]
"""An amount of USD cents in a request."""


def format_usd(cents: int) -> str:
    """`123456` → `$1,234.56`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def format_btrst(wei: int) -> str:
    """`20500000000000000000` → `20.5`, exact."""
    sign = "-" if wei < 0 else ""
    whole, rest = divmod(abs(wei), WEI_PER_BTRST)
    return f"{sign}{whole:,}" + (f".{rest:018d}".rstrip("0") if rest else "")
