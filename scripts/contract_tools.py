"""What the deployment needs of a node and of the committed artifacts; no web3, no compiler."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"


class DeployError(Exception):
    """The deployment is refused or did not end as it must; the text says why."""


class Node:
    """JSON-RPC over HTTP, one call at a time."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise DeployError(f"not an HTTP URL: {url}")
        self._url = url
        # The environment's proxies are for the world outside, not for our node.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def call(self, method: str, *params: object) -> Any:
        """The result of one call. Raises: DeployError when the node is away or answers an error."""
        return await asyncio.to_thread(self._post, method, params)

    def _post(self, method: str, params: Sequence[object]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url, data=body, headers={"content-type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=20) as response:
                answer = json.load(response)
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise DeployError(f"{method}: the node at {self._url} does not answer: {error}") from error
        if "error" in answer:
            refusal = answer["error"]
            raise DeployError(f"{method}: {refusal.get('message')} {refusal.get('data', '')}".rstrip())
        return answer["result"]


def types_of(entry: dict[str, Any]) -> list[str]:
    """The canonical types of an ABI entry's inputs."""
    return [collapse_if_tuple(item) for item in entry["inputs"]]


class Contract:
    """One committed artifact: its ABI and code."""

    def __init__(self, name: str) -> None:
        self.artifact = json.loads((CONTRACTS / "abi" / f"{name}.json").read_text())

    def entry(self, kind: str, name: str | None = None, count: int | None = None) -> dict[str, Any]:
        """The ABI's entry of that kind and name; of overloads the one with `count` inputs.

        Raises: DeployError when there is none.
        """
        for entry in self.artifact["abi"]:
            if entry["type"] == kind and entry.get("name") == name and count in (None, len(entry["inputs"])):
                return dict(entry)
        raise DeployError(f"no {kind} {name} in the artifact")

    def creation(self, arguments: Sequence[object]) -> bytes:
        """The data of the chain tx that deploys it."""
        return bytes.fromhex(self.artifact["bytecode"][2:]) + encode(types_of(self.entry("constructor")), arguments)

    def selector(self, function: str, count: int | None = None) -> bytes:
        """The four bytes that name a function in calldata."""
        types = ",".join(types_of(self.entry("function", function, count)))
        return keccak(text=f"{function}({types})")[:4]

    def calldata(self, function: str, *arguments: object) -> bytes:
        """The data of a call."""
        types = types_of(self.entry("function", function, len(arguments)))
        return self.selector(function, len(arguments)) + encode(types, arguments)

    async def read(self, node: Node, address: str, function: str, *arguments: object) -> Any:
        """The first value a view function returns."""
        data = "0x" + self.calldata(function, *arguments).hex()
        answer = await node.call("eth_call", {"to": address, "data": data}, "latest")
        outputs = self.entry("function", function, len(arguments))["outputs"]
        return decode([collapse_if_tuple(item) for item in outputs], bytes.fromhex(answer[2:]))[0]

    async def is_at(self, node: Node, address: str) -> bool:
        """Whether exactly this code lies at the address, whatever its immutables are."""
        code = bytearray.fromhex((await node.call("eth_getCode", address, "latest"))[2:])
        expected = bytearray.fromhex(self.artifact["deployedBytecode"][2:])
        if len(code) != len(expected):
            return False
        for place in self.artifact["immutableReferences"]:
            end = place["start"] + place["length"]
            code[place["start"] : end] = expected[place["start"] : end] = bytes(place["length"])
        return code == expected


def contract_address(deployer: str, nonce: int) -> str:
    """The address of the contract that `deployer` creates with `nonce`. Source: the Yellow Paper, section 7."""
    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if len(digits) != 1 or nonce >= 0x80:
        digits = bytes([0x80 + len(digits)]) + digits
    content = b"\x94" + bytes.fromhex(deployer[2:]) + digits
    return to_checksum_address(keccak(bytes([0xC0 + len(content)]) + content)[12:])
