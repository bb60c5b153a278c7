"""Signatures of wallets: EIP-191 personal messages, EIP-712 typed data, EIP-4361 sign-in messages. No I/O.

A signature has one accepted form: 65 bytes r ‖ s ‖ v with s in the lower half of the order (EIP-2), so that
nobody can make a second valid signature out of a first one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import coincurve
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError, ParseError
from eth_utils.address import is_checksum_address
from eth_utils.address import to_checksum_address as _eip55
from eth_utils.crypto import keccak

from chassis.clock import to_rfc3339
from chassis.errors import Unauthorized, Unprocessable

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_PARITY = {0: 0, 1: 1, 27: 0, 28: 1}
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}", re.ASCII)

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,77})", re.ASCII)
_DOMAIN_PARTS = (
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
    {"name": "salt", "type": "bytes32"},
)

_WANTS: Final = " wants you to sign in with your Ethereum account:"
_DOMAIN = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-f:]+\](?::\d{1,5})?", re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_NONCE = re.compile(r"[A-Za-z0-9]{8,}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_STATEMENT = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+", re.ASCII)


class SignatureInvalid(Unauthorized):
    """The signature is malformed, or not over this content by this address."""

    code, title = "signature_invalid", "The signature does not hold"


class AddressInvalid(Unprocessable):
    """Not an Ethereum address, or one whose EIP-55 capitals are wrong."""

    code, title = "address_invalid", "Not an address"


def parse_address(text: str) -> str:
    """`text` as an EIP-55 address. All lower or all upper case is taken as it is; mixed case must check.

    Raises: AddressInvalid. Source: EIP-55.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise AddressInvalid("an address is 0x and 40 hexadecimal digits")
    digits = text[2:]
    if digits not in {digits.lower(), digits.upper()} and not is_checksum_address(text):
        raise AddressInvalid("the address's capitals (EIP-55) do not check: it was mistyped")
    return to_checksum_address("0x" + digits.lower())


def to_checksum_address(address: str | bytes) -> str:
    """The EIP-55 form of an address that is known to be one. Source: EIP-55."""
    return str(_eip55(address))


def personal_digest(message: str | bytes) -> bytes:
    """The 32 bytes a wallet signs for `personal_sign`. Source: EIP-191, version 0x45."""
    body = message.encode() if isinstance(message, str) else message
    return bytes(keccak(b"\x19Ethereum Signed Message:\n" + str(len(body)).encode() + body))


def recover_personal(message: str | bytes, signature: str | bytes) -> str:
    """The EIP-55 address that signed `message` as a personal message.

    Raises: SignatureInvalid.
    """
    return recover_digest(personal_digest(message), signature)


def eip712_digest(
    domain: Mapping[str, Any], types: Mapping[str, Sequence[Mapping[str, str]]], message: Mapping[str, Any]
) -> bytes:
    """The 32 bytes a wallet signs for `eth_signTypedData_v4`. `types` needs no EIP712Domain, and has exactly one
    type that no other uses: the primary one. Integers may be decimal text, bytes 0x text, as in JSON.

    Raises: ValueError when domain or message do not fit their types exactly: nothing is filled in, nothing left
    out. Source: EIP-712.
    """
    known = {name: list(parts) for name, parts in types.items() if name != "EIP712Domain"}
    used = {_base(part["type"]) for parts in known.values() for part in parts}
    roots = [name for name in known if name not in used]
    if len(roots) != 1:
        raise ValueError(f"{len(roots)} types could be the primary one")
    domain_type = [part for part in _DOMAIN_PARTS if part["name"] in domain]
    separator = _hash_struct({"EIP712Domain": domain_type}, "EIP712Domain", domain)
    return bytes(keccak(b"\x19\x01" + separator + _hash_struct(known, roots[0], message)))


def recover_typed(
    domain: Mapping[str, Any],
    types: Mapping[str, Sequence[Mapping[str, str]]],
    message: Mapping[str, Any],
    signature: str | bytes,
) -> str:
    """The EIP-55 address that signed this typed data.

    Raises: SignatureInvalid; ValueError when the message does not fit the types.
    """
    return recover_digest(eip712_digest(domain, types, message), signature)


def recover_digest(digest: bytes, signature: str | bytes) -> str:
    """The EIP-55 address whose key signed these 32 bytes.

    Raises: SignatureInvalid for a wrong length, v other than 0, 1, 27, 28, an s in the upper half, or numbers
    that are no signature.
    """
    raw = _signature_bytes(signature)
    parity = _PARITY.get(raw[64])
    if parity is None:
        raise SignatureInvalid("v is none of 0, 1, 27 and 28")
    if int.from_bytes(raw[32:64], "big") > _HALF_ORDER:
        raise SignatureInvalid("s is in the upper half of the order")
    try:
        key = coincurve.PublicKey.from_signature_and_message(raw[:64] + bytes([parity]), digest, hasher=None)
    except Exception as problem:  # coincurve raises ValueError and bare Exception alike
        raise SignatureInvalid("no key makes this signature") from problem
    return to_checksum_address(bytes(keccak(key.format(compressed=False)[1:])[-20:]))


_Types = Mapping[str, Sequence[Mapping[str, str]]]


def _base(kind: str) -> str:
    return kind.partition("[")[0]


def _hash_struct(types: _Types, name: str, value: Any) -> bytes:
    parts = types[name]
    if not isinstance(value, Mapping) or set(value) != {part["name"] for part in parts}:
        raise ValueError(f"the fields of {name} are {', '.join(part['name'] for part in parts)}, no more, no less")
    words = [_encode_value(types, part["type"], value[part["name"]]) for part in parts]
    return bytes(keccak(keccak(text=_encode_type(types, name)) + b"".join(words)))


def _encode_type(types: _Types, name: str) -> str:
    needed: set[str] = set()
    open_names = [name]
    while open_names:
        each = open_names.pop()
        if each in types and each not in needed:
            needed.add(each)
            open_names += [_base(part["type"]) for part in types[each]]
    ordered = [name, *sorted(needed - {name})]
    return "".join(f"{each}({','.join(part['type'] + ' ' + part['name'] for part in types[each])})" for each in ordered)


def _encode_value(types: _Types, kind: str, value: Any) -> bytes:
    if kind.endswith("]"):
        element, _, length = kind.removesuffix("]").rpartition("[")
        if not isinstance(value, list | tuple) or (length and len(value) != int(length)):
            raise ValueError(f"{kind} is a list of that length")
        return bytes(keccak(b"".join(_encode_value(types, element, each) for each in value)))
    if kind in types:
        return _hash_struct(types, kind, value)
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError("a string is text")
        return bytes(keccak(value.encode()))
    if kind == "bytes":
        return bytes(keccak(_typed_bytes(value)))
    return _encode_word(kind, value)


def _encode_word(kind: str, value: Any) -> bytes:
    if kind.startswith("bytes"):
        value = _typed_bytes(value)
        if len(value) != int(kind.removeprefix("bytes")):
            raise ValueError(f"{kind} has that many bytes")
    elif kind.startswith(("int", "uint")) and isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError(f"{kind} is an integer")
        value = int(value)
    try:
        return bytes(encode([kind], [value]))
    except (EncodingError, ParseError, TypeError, OverflowError) as problem:
        raise ValueError(f"not a value of {kind}") from problem


def _typed_bytes(value: Any) -> bytes:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, bytes):
        return value
    raise ValueError("bytes are 0x text")


def _signature_bytes(signature: str | bytes) -> bytes:
    if isinstance(signature, str):
        if not _SIGNATURE.fullmatch(signature):
            raise SignatureInvalid("a signature is 0x and 130 hexadecimal digits")
        return bytes.fromhex(signature[2:])
    if len(signature) != 65:
        raise SignatureInvalid("a signature has 65 bytes")
    return bytes(signature)


@dataclass(frozen=True)
class SiweMessage:
    """The fields of one sign-in message. Whether domain, nonce and times are the right ones is the caller's to
    check. Source: EIP-4361."""

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: datetime
    statement: str | None = None
    expiration_time: datetime | None = None
    not_before: datetime | None = None
    request_id: str | None = None
    resources: tuple[str, ...] = field(default=())
    version: str = "1"

    def to_text(self) -> str:
        """The exact text the wallet shows and signs."""
        lines = [self.domain + _WANTS, self.address, ""]
        lines += [self.statement, ""] if self.statement is not None else [""]
        lines += [
            f"URI: {self.uri}",
            f"Version: {self.version}",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {to_rfc3339(self.issued_at)}",
        ]
        if self.expiration_time is not None:
            lines.append(f"Expiration Time: {to_rfc3339(self.expiration_time)}")
        if self.not_before is not None:
            lines.append(f"Not Before: {to_rfc3339(self.not_before)}")
        if self.request_id is not None:
            lines.append(f"Request ID: {self.request_id}")
        if self.resources:
            lines += ["Resources:", *(f"- {each}" for each in self.resources)]
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> "SiweMessage":
        """The fields of `text`.

        Raises: SignatureInvalid when the text departs from EIP-4361's grammar in anything: an unknown line, a
        changed order, a missing field, an address whose EIP-55 capitals do not check.
        """
        return _Reader(text).message()


class _Reader:
    """Takes the lines one after the other; whatever is out of place ends it."""

    def __init__(self, text: str) -> None:
        if len(text) > 4096 or "\r" in text:
            raise SignatureInvalid("not an EIP-4361 message")
        self._lines = text.split("\n")
        self._place = 0

    def message(self) -> SiweMessage:
        domain = self._next()
        if not domain.endswith(_WANTS):
            raise SignatureInvalid("the first line is not that of EIP-4361")
        address, statement = self._address(), self._statement()
        message = SiweMessage(
            domain=_match(_DOMAIN, domain.removesuffix(_WANTS), "domain"),
            address=address,
            statement=statement,
            uri=_match(_URI, self._field("URI: "), "URI"),
            version=_match(re.compile("1"), self._field("Version: "), "version"),
            chain_id=int(_match(_NUMBER, self._field("Chain ID: "), "chain id")),
            nonce=_match(_NONCE, self._field("Nonce: "), "nonce"),
            issued_at=_time(self._field("Issued At: ")),
            expiration_time=self._optional_time("Expiration Time: "),
            not_before=self._optional_time("Not Before: "),
            request_id=self._optional("Request ID: "),
            resources=self._resources(),
        )
        if self._place != len(self._lines):
            raise SignatureInvalid(f"line {self._place + 1} has no place in an EIP-4361 message")
        return message

    def _next(self) -> str:
        if self._place >= len(self._lines):
            raise SignatureInvalid("the message ends too early")
        line = self._lines[self._place]
        self._place += 1
        return line

    def _blank(self) -> None:
        if self._next() != "":
            raise SignatureInvalid(f"line {self._place} should be empty")

    def _address(self) -> str:
        text = self._next()
        try:
            checked = parse_address(text)
        except Exception as problem:
            raise SignatureInvalid("the second line is not an address") from problem
        if checked != text:
            raise SignatureInvalid("the address is not in EIP-55 form")
        return checked

    def _statement(self) -> str | None:
        self._blank()
        line = self._next()
        if line == "":
            return None
        statement = _match(_STATEMENT, line, "statement")
        self._blank()
        return statement

    def _field(self, label: str) -> str:
        line = self._next()
        if not line.startswith(label):
            raise SignatureInvalid(f"line {self._place} should begin with {label!r}")
        return line.removeprefix(label)

    def _optional(self, label: str) -> str | None:
        if self._place < len(self._lines) and self._lines[self._place].startswith(label):
            return self._field(label)
        return None

    def _optional_time(self, label: str) -> datetime | None:
        text = self._optional(label)
        return None if text is None else _time(text)

    def _resources(self) -> tuple[str, ...]:
        if self._place >= len(self._lines) or self._lines[self._place] != "Resources:":
            return ()
        self._place += 1
        found = []
        while self._place < len(self._lines):
            found.append(_match(_URI, self._field("- "), "resource"))
        return tuple(found)


def _match(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise SignatureInvalid(f"the {what} is malformed")
    return text


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(_match(_TIME, text, "time"))
    except ValueError as problem:
        raise SignatureInvalid("a time is malformed") from problem
