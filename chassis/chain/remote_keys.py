"""Keys that never leave another machine: AWS KMS, or any signer that speaks JSON-RPC. Behind `Key`, as others are.

The address is told by the settings, and every signature is held against it: whatever comes back is a signature of that
address over that digest, or it is not used.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import coincurve
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from chassis.chain.errors import KeyRefused, KeyUnavailable, RpcError, RpcUnavailable
from chassis.chain.rpc import JsonRpc
from chassis.chain.values import hex_text
from chassis.http import HttpClient, HttpUnavailable

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1. Source: SEC 2, section 2.4.1."""


class RemoteKey(ABC):
    """A key that is asked for each signature."""

    def __init__(self, address: str) -> None:
        if not is_address(address):
            raise KeyRefused("a key on another machine needs the address that it signs for")
        self._address = to_checksum_address(address)

    @property
    def address(self) -> str:
        """The EIP-55 address the signatures recover to."""
        return self._address

    async def sign_digest(self, digest: bytes) -> bytes:
        """As `Key.sign_digest`. Raises: KeyRefused when the signature is not this address'; KeyUnavailable."""
        if len(digest) != 32:
            raise KeyRefused("a digest has 32 bytes")
        r, s = await self._ask(digest)
        if not (0 < r < ORDER and 0 < s < ORDER):
            raise KeyRefused("what came back is no signature")
        low = min(s, ORDER - s).to_bytes(32, "big")  # Source: EIP-2; not every signer keeps to it
        for parity in (0, 1):
            signature = r.to_bytes(32, "big") + low + bytes([parity])
            if _signer_of(signature, digest) == self._address:
                return signature
        raise KeyRefused(f"what came back is no signature of {self._address}")

    @abstractmethod
    async def _ask(self, digest: bytes) -> tuple[int, int]:
        """(r, s) over the digest. Raises: KeyRefused, KeyUnavailable."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"


def _signer_of(signature: bytes, digest: bytes) -> str | None:
    try:
        public = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception:
        return None
    return str(to_checksum_address(keccak(public.format(compressed=False)[1:])[-20:]))


class KmsKey(RemoteKey):
    """An asymmetric key of AWS KMS (ECC_SECG_P256K1, SIGN_VERIFY).

    Credentials are found as every AWS tool finds them (environment, web identity, instance). Source: the AWS KMS API,
    `Sign` with MessageType DIGEST; AWS Signature Version 4.
    """

    def __init__(self, http: HttpClient, key_id: str, *, address: str, region: str, endpoint: str = "") -> None:
        super().__init__(address)
        if not region:
            raise KeyRefused("a key of AWS KMS needs its region")
        self._http = http
        self._key_id = key_id
        self._region = region
        self._credentials: Any = None
        self._endpoint = endpoint or f"https://kms.{region}.amazonaws.com/"

    async def _ask(self, digest: bytes) -> tuple[int, int]:
        message = b64encode(digest).decode("ascii")
        asked = {"KeyId": self._key_id, "Message": message, "MessageType": "DIGEST"}
        answer = await self._call("TrentService.Sign", asked | {"SigningAlgorithm": "ECDSA_SHA_256"})
        try:
            r, s = decode_dss_signature(b64decode(answer["Signature"], validate=True))
        except (LookupError, TypeError, ValueError) as error:
            raise KeyRefused("AWS KMS answered without a signature") from error
        return r, s

    async def _call(self, target: str, asked: Mapping[str, Any]) -> Any:
        body = json.dumps(asked).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        headers = await asyncio.to_thread(self._signed, headers, body)  # it may ask for credentials
        try:
            answer = await self._http.post(self._endpoint, body, headers)
        except HttpUnavailable as error:
            raise KeyUnavailable(f"AWS KMS: {error}") from error
        try:
            said = answer.json()
        except ValueError:
            said = {}
        if answer.status == 200 and isinstance(said, dict):
            return said
        kind = str(said.get("__type", "")).rpartition("#")[2] if isinstance(said, dict) else ""
        problem = f"AWS KMS answered {answer.status} {kind}".rstrip()
        if answer.status >= 500 or kind in {"ThrottlingException", "LimitExceededException", "KMSInternalException"}:
            raise KeyUnavailable(problem)
        raise KeyRefused(problem)

    def _signed(self, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth  # slow to import, and most processes have no such key
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        request = AWSRequest("POST", self._endpoint, headers=dict(headers), data=body)
        try:
            if self._credentials is None:
                self._credentials = Session().get_credentials()  # which renew themselves
            if self._credentials is None:
                raise KeyUnavailable("AWS KMS: no credentials are found")
            SigV4Auth(self._credentials.get_frozen_credentials(), "kms", self._region).add_auth(request)
        except BotoCoreError as error:
            raise KeyUnavailable(f"AWS KMS: {type(error).__name__}") from error
        return dict(request.headers.items())


class RpcKey(RemoteKey):
    """A key behind a JSON-RPC signer: `method(address, digest)` → r ‖ s, with or without a recovery byte, in hex."""

    def __init__(self, rpc: JsonRpc, method: str, *, address: str) -> None:
        super().__init__(address)
        self._rpc = rpc
        self._method = method

    async def _ask(self, digest: bytes) -> tuple[int, int]:
        try:
            answer = await self._rpc.call(self._method, self._address, hex_text(digest))
        except RpcUnavailable as error:
            raise KeyUnavailable(f"the signer: {error}") from error
        except RpcError as error:
            raise KeyRefused(f"the signer refuses: {error}") from error
        try:
            signature = bytes.fromhex(answer.removeprefix("0x"))
        except (AttributeError, ValueError):
            signature = b""
        if len(signature) not in (64, 65):
            raise KeyRefused("the signer answered without a signature")
        return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
