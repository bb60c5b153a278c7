"""Kinds of fields that several bodies share."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from chassis.money import MAX_UINT256
from chassis.signatures import AddressInvalid, parse_address
from chassis.strict_json import check_text

_MAX_DIGITS = 78


def _address(text: str) -> str:
    try:
        return parse_address(text)
    except AddressInvalid as error:
        raise ValueError(error.detail) from error


def _uuid(value: Any) -> Any:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:
        raise ValueError("a UUID is expected")
    return UUID(value)


def _uint(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        if value != "0" and value.startswith("0"):
            raise ValueError("no leading zeros")
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("an integer or a decimal digit string is expected")


def _text(value: str) -> str:
    if not check_text(value):
        raise ValueError("a character that no text may hold")
    return value


Address = Annotated[
    str,
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}),
]
"""An Ethereum address; kept and shown in EIP-55 form."""

Reference = Annotated[UUID, BeforeValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
"""A reference to a resource in a request."""

DigitsOrInt = Annotated[
    int,
    Field(ge=0, le=MAX_UINT256),
    BeforeValidator(_uint),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$"}, {"type": "integer", "minimum": 0}]},
        mode="validation",
    ),
    WithJsonSchema({"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$"}, mode="serialization"),
]
"""A number that may be too large for JavaScript: a digit string, or a JSON integer in requests; a digit string out."""

Signature = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_text)]
"""65 bytes r ‖ s ‖ v as 0x text; one that is not is answered with 401."""

Reason = Annotated[str, Field(max_length=1_000), AfterValidator(_text)]
"""Part of what is signed, so it is taken exactly as it is."""
