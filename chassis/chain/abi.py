"""Typed calls by ABI: encode calls, decode results, logs, calldata and custom errors of one contract.

Source: the Solidity contract ABI specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils import abi as eth_abi_tools
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chassis.chain.artifacts import Artifact
from chassis.chain.values import Log, hex_text

_Item = dict[str, Any]

# Error(string) and Panic(uint256), which the compiler itself raises.
_BUILT_IN_ERRORS: list[_Item] = [
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
]


@dataclass(frozen=True)
class Event:
    """A decoded log: the event's name and its arguments by name. Indexed strings and bytes are their hashes."""

    name: str
    args: dict[str, Any]
    log: Log = field(repr=False)


class Contract:
    """One contract at one address. Methods are named `name`, or `name(type,type)` where the name is overloaded."""

    def __init__(self, address: str, abi: Sequence[_Item]) -> None:
        self.address: str = to_checksum_address(address)
        self._functions = [item for item in abi if item["type"] == "function"]
        self._by_selector = {_selector(item): item for item in self._functions}
        errors = [item for item in abi if item["type"] == "error"] + _BUILT_IN_ERRORS
        self._errors = {_selector(item): item for item in errors}
        events = [item for item in abi if item["type"] == "event" and not item.get("anonymous")]
        self._events = {hex_text(keccak(text=_signature(item))): item for item in events}

    def encode(self, method: str, *args: Any) -> bytes:
        """Calldata of `method` with `args`.

        Raises: LookupError for an unknown or ambiguous method; eth_abi's EncodingError for a value out of range.
        """
        item = self._function(method, len(args))
        return _selector(item) + encode(_types(item["inputs"]), args)

    def selector(self, method: str) -> bytes:
        """The four bytes that name `method` in calldata."""
        return _selector(self._function(method, None))

    def decode_result(self, method: str, data: bytes, arguments: int | None = None) -> Any:
        """What `method` returned: the value, or a tuple of several, or None."""
        outputs = self._function(method, arguments)["outputs"]
        values = _decode(outputs, data)
        return values[0] if len(values) == 1 else (values or None)

    def decode_call(self, calldata: bytes) -> tuple[str, dict[str, Any]]:
        """The method's name and its arguments by name.

        Raises: LookupError when the contract has no such selector.
        """
        item = self._by_selector.get(calldata[:4])
        if item is None:
            raise LookupError(f"{self.address} has no method {hex_text(calldata[:4])}")
        return item["name"], _named(item["inputs"], _decode(item["inputs"], calldata[4:]))

    def decode_error(self, data: bytes) -> tuple[str, dict[str, Any]] | None:
        """The custom error's name and arguments, or None when the contract declares no such error."""
        item = self._errors.get(data[:4])
        if item is None:
            return None
        return item["name"], _named(item["inputs"], _decode(item["inputs"], data[4:]))

    def topic(self, event: str) -> str:
        """The first topic of `event`'s logs.

        Raises: LookupError when the contract has no event of that name.
        """
        for topic, item in self._events.items():
            if item["name"] == event:
                return topic
        raise LookupError(f"no event {event}")

    def decode_log(self, log: Log) -> Event | None:
        """The event in `log`, or None when it is another contract's or not in the ABI."""
        item = self._events.get(log.topics[0]) if log.topics else None
        if item is None or log.address != self.address:
            return None
        indexed = [part for part in item["inputs"] if part["indexed"]]
        plain = [part for part in item["inputs"] if not part["indexed"]]
        values = _named(plain, _decode(plain, log.data))
        for part, topic in zip(indexed, log.topics[1:], strict=True):
            values[part["name"]] = _decode_topic(part, topic)
        return Event(item["name"], {part["name"]: values[part["name"]] for part in item["inputs"]}, log)

    def _function(self, method: str, arguments: int | None) -> _Item:
        if "(" in method:
            found = [item for item in self._functions if _signature(item) == method]
        else:
            found = [item for item in self._functions if item["name"] == method]
        if len(found) > 1 and arguments is not None:
            found = [item for item in found if len(item["inputs"]) == arguments]
        if len(found) != 1:
            raise LookupError(f"{len(found)} methods match {method}: give the full signature")
        return found[0]


def encode_deployment(artifact: Artifact, *args: Any) -> bytes:
    """The data of a transaction that creates `artifact` with constructor arguments `args`."""
    constructors = [item for item in artifact.abi if item["type"] == "constructor"]
    inputs = constructors[0]["inputs"] if constructors else []
    return artifact.bytecode + encode(_types(inputs), args)


def _signature(item: _Item) -> str:
    return eth_abi_tools.abi_to_signature(item)  # type: ignore[arg-type]


def _selector(item: _Item) -> bytes:
    return bytes(keccak(text=_signature(item))[:4])


def _types(parts: Sequence[_Item]) -> list[str]:
    return [eth_abi_tools.collapse_if_tuple(part) for part in parts]


def _decode(parts: Sequence[_Item], data: bytes) -> tuple[Any, ...]:
    values = decode(_types(parts), data)
    return tuple(_tidy(part, part["type"], value) for part, value in zip(parts, values, strict=True))


def _decode_topic(part: _Item, topic: str) -> Any:
    word = bytes.fromhex(topic[2:])
    is_hashed = part["type"] in {"string", "bytes", "tuple"} or part["type"].endswith("]")
    return word if is_hashed else _decode([part], word)[0]


def _tidy(part: _Item, kind: str, value: Any) -> Any:
    """Addresses in EIP-55 form, at any depth."""
    if kind.endswith("]"):
        return tuple(_tidy(part, kind[: kind.rindex("[")], each) for each in value)
    if kind == "tuple":
        return tuple(_tidy(each, each["type"], item) for each, item in zip(part["components"], value, strict=True))
    return to_checksum_address(value) if kind == "address" else value


def _named(parts: Sequence[_Item], values: Sequence[Any]) -> dict[str, Any]:
    return {part["name"] or str(place): value for place, (part, value) in enumerate(zip(parts, values, strict=True))}
