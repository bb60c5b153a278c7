"""Keys on other machines, over real sockets: an AWS KMS that checks what it is sent, and a JSON-RPC signer."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import coincurve
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.chain.errors import KeyRefused, KeyUnavailable
from chassis.chain.fees import Fees
from chassis.chain.key_loading import load_key
from chassis.chain.keys import MemoryKey
from chassis.chain.remote_keys import ORDER, KmsKey, RemoteKey, RpcKey
from chassis.chain.rpc import JsonRpc
from chassis.chain.signer import AllowedCall, IntentSigner
from chassis.http import HttpClient
from chassis.signer_settings import SignerSettings
from tests.gateway.servers import read_body, reply, served

SECRET = keccak(text="a key that only these tests know")
ADDRESS = MemoryKey(SECRET).address
DIGEST = keccak(text="something to sign")
CREDENTIALS = Credentials("AKIDEXAMPLE", "a secret of the tests", "a session token")
KEY_ID = "alias/rewards-signer"


def raw_signature(digest: bytes) -> tuple[int, int]:
    return decode_dss_signature(coincurve.PrivateKey(SECRET).sign(digest, hasher=None))


class Kms:
    """Answers as AWS KMS does, and refuses what it would: a wrong signature of the request, an unknown key."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.is_high = False
        """Whether s is in the upper half of the order: KMS makes one as often as the other."""

        self.answer: tuple[int, bytes] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One call."""
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await read_body(receive)
        if self.answer is not None:
            await reply(send, *self.answer)
            return
        if not self._is_signed(headers, body):
            await reply(send, 400, b'{"__type": "InvalidSignatureException"}')
            return
        asked = json.loads(body)
        self.asked.append((headers["x-amz-target"], asked))
        if asked["KeyId"] != KEY_ID:
            await reply(send, 400, b'{"__type": "com.amazonaws.kms#NotFoundException"}')
            return
        assert (headers["x-amz-target"], asked["SigningAlgorithm"]) == ("TrentService.Sign", "ECDSA_SHA_256")
        message = b64decode(asked["Message"])
        digest = message if asked["MessageType"] == "DIGEST" else hashlib.sha256(message).digest()
        r, s = raw_signature(digest)
        der = encode_dss_signature(r, ORDER - s if self.is_high else s)
        await reply(send, 200, json.dumps({"KeyId": KEY_ID, "Signature": b64encode(der).decode()}).encode())

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        """Signed anew, at the time it says, the request has the same signature."""
        sent = headers.get("authorization", "")
        named = sent.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if not {"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} <= set(named):
            return False
        request = AWSRequest("POST", f"http://{headers['host']}/", data=body)
        for name in set(named) - {"host", "x-amz-date", "x-amz-security-token"}:
            request.headers[name] = headers[name]
        request.headers["X-Amz-Security-Token"] = headers["x-amz-security-token"]
        request.headers["X-Amz-Date"] = headers["x-amz-date"]
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(CREDENTIALS.get_frozen_credentials(), "kms", "eu-central-1")
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        return sent.endswith(f"Signature={signature}")


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", CREDENTIALS.token)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


@asynccontextmanager
async def kms(**changes: str) -> AsyncIterator[tuple[Kms, KmsKey]]:
    app = Kms()
    given_ = {"key_id": KEY_ID, "address": ADDRESS, "region": "eu-central-1"} | changes
    async with served(app, lifespan="off") as port, HttpClient(timeout_seconds=1.0) as http:
        yield app, KmsKey(http, endpoint=f"http://127.0.0.1:{port}/", **given_)


def recovered(signature: bytes, digest: bytes = DIGEST) -> str:
    return str(Account._recover_hash(digest, signature=signature[:64] + bytes([signature[64] + 27])))


async def test_kms_signs_the_digest_itself_and_the_signature_is_made_canonical() -> None:
    async with kms() as (app, key):
        for app.is_high in (False, True):
            signature = await key.sign_digest(DIGEST)
            assert signature == await MemoryKey(SECRET).sign_digest(DIGEST)
            assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
            assert recovered(signature) == ADDRESS == key.address
        (target, asked) = app.asked[0]
        assert (target, asked["MessageType"], b64decode(asked["Message"])) == ("TrentService.Sign", "DIGEST", DIGEST)
        assert repr(key) == f"KmsKey({ADDRESS})"


async def test_a_chain_tx_signed_by_kms_is_the_one_that_the_key_itself_would_sign() -> None:
    to, fees = "0x" + "11" * 20, Fees(10**10, 10**9)
    allowed = [AllowedCall("0x" + "11" * 20, b"abcd")]
    async with kms() as (_, key):
        signed = [
            await IntentSigner(each, chain_id=1, allowed=allowed, max_fee_per_gas_wei=10**11).sign(
                to=to, calldata=b"abcdefgh", nonce=7, gas_limit=100_000, fees=fees
            )
            for each in (key, MemoryKey(SECRET))
        ]
    assert signed[0] == signed[1]
    assert Account.recover_transaction(signed[0].raw) == ADDRESS


async def test_a_signature_of_another_key_is_not_used() -> None:
    async with kms(address="0x" + "22" * 20) as (_, key):
        with pytest.raises(KeyRefused, match="no signature of 0x2222"):
            await key.sign_digest(DIGEST)
        with pytest.raises(KeyRefused, match="32 bytes"):
            await key.sign_digest(DIGEST[1:])


@pytest.mark.parametrize(
    ("status", "body", "error", "why"),
    [
        (400, b'{"__type": "com.amazonaws.kms#DisabledException"}', KeyRefused, "400 DisabledException"),
        (400, b'{"__type": "ThrottlingException"}', KeyUnavailable, "ThrottlingException"),
        (500, b'{"__type": "KMSInternalException"}', KeyUnavailable, "500"),
        (503, b"<html>", KeyUnavailable, "503"),
        (403, b"[]", KeyRefused, "403"),
        (200, b"{}", KeyRefused, "without a signature"),
        (200, b'{"Signature": "!"}', KeyRefused, "without a signature"),
        (200, b'{"Signature": "MAYCAQACAQA="}', KeyRefused, "no signature"),
        (200, b'{"Signature": 7}', KeyRefused, "without a signature"),
        (200, b"[" * 100_000, KeyRefused, "without a signature"),
    ],
)
async def test_what_kms_answers_instead_is_told(status: int, body: bytes, error: type[Exception], why: str) -> None:
    async with kms() as (app, key):
        app.answer = status, body
        with pytest.raises(error, match=why):
            await key.sign_digest(DIGEST)


async def test_kms_refuses_whoever_has_other_credentials_or_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with kms(key_id="alias/other") as (_, key):
        with pytest.raises(KeyRefused, match="NotFoundException"):
            await key.sign_digest(DIGEST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    async with kms() as (_, key):
        with pytest.raises(KeyRefused, match="InvalidSignatureException"):
            await key.sign_digest(DIGEST)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    async with kms() as (_, key):
        with pytest.raises(KeyUnavailable, match="no credentials"):
            await key.sign_digest(DIGEST)


async def test_a_kms_that_is_away_is_no_refusal() -> None:
    async with HttpClient(timeout_seconds=0.3) as http:
        key = KmsKey(http, KEY_ID, address=ADDRESS, region="x", endpoint="http://127.0.0.1:1/")
        with pytest.raises(KeyUnavailable, match="AWS KMS"):
            await key.sign_digest(DIGEST)


@asynccontextmanager
async def signer(answer: Any) -> AsyncIterator[tuple[list[Any], RpcKey]]:
    asked: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = json.loads(await read_body(receive))
        asked.append((call["method"], call["params"]))
        await reply(send, 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer}).encode())

    async with served(app, lifespan="off") as port, HttpClient(timeout_seconds=1.0) as http:
        yield asked, RpcKey(JsonRpc([f"http://127.0.0.1:{port}/"], http=http), "sign_digest", address=ADDRESS)


@pytest.mark.parametrize("tail", ["", "1b", "00"])
async def test_a_json_rpc_signer_is_asked_by_address_and_digest(tail: str) -> None:
    r, s = raw_signature(DIGEST)
    answer = f"0x{r:064x}{ORDER - s:064x}{tail}"
    async with signer({"result": answer}) as (asked, key):
        assert recovered(await key.sign_digest(DIGEST)) == ADDRESS
        assert asked == [("sign_digest", [ADDRESS, "0x" + DIGEST.hex()])]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"result": None}, "without a signature"),
        ({"result": "0x12"}, "without a signature"),
        ({"result": "0x" + "zz" * 64}, "without a signature"),
        ({"result": "0x" + "00" * 64}, "no signature"),
        ({"result": "0x" + "ff" * 64}, "no signature"),
        ({"result": "0x" + "11" * 64}, f"no signature of {ADDRESS}"),
        ({"error": {"code": -32000, "message": "locked"}}, "the signer refuses: locked"),
    ],
)
async def test_what_a_json_rpc_signer_answers_instead_is_told(answer: Any, why: str) -> None:
    async with signer(answer) as (_, key):
        with pytest.raises(KeyRefused, match=why):
            await key.sign_digest(DIGEST)


class Told(RemoteKey):
    """A key that answers what it is told to."""

    def __init__(self, r: int, s: int) -> None:
        super().__init__(ADDRESS)
        self._told = r, s

    async def _ask(self, digest: bytes) -> tuple[int, int]:
        return self._told


@settings(deadline=None)
@given(r=st.integers(0, 2**256), s=st.integers(0, 2**256))
async def test_no_other_numbers_are_ever_taken_for_a_signature(r: int, s: int) -> None:
    with pytest.raises(KeyRefused):
        await Told(r, s).sign_digest(DIGEST)


async def test_one_way_of_naming_a_key_is_enough_and_two_are_too_many(tmp_path: Path) -> None:
    keystore = tmp_path / "keystore.json"
    keystore.write_text(json.dumps(create_keyfile_json(SECRET, b"a password", iterations=2, kdf="pbkdf2")))
    plain = tmp_path / "key"
    plain.write_text("0x" + SECRET.hex())
    async with HttpClient() as http:
        for ways in (
            {"signer_key": SECRET.hex()},
            {"signer_key_file": str(plain)},
            {"signer_keystore": str(keystore), "signer_keystore_password": "a password"},
            {"signer_kms_key_id": KEY_ID, "signer_kms_region": "eu-central-1", "signer_address": ADDRESS},
            {"signer_rpc_url": "http://127.0.0.1:1", "signer_address": ADDRESS.lower()},
        ):
            key = load_key(SignerSettings.model_validate(ways), "REWARDS_", http)
            assert key is not None
            assert key.address == ADDRESS
        assert load_key(SignerSettings(), "REWARDS_", http) is None
        for wrong, why in (
            ({"signer_key": "11" * 32, "signer_rpc_url": "http://x"}, "REWARDS_SIGNER_KEY and REWARDS_SIGNER_RPC_URL"),
            ({"signer_kms_key_id": "x", "signer_address": ADDRESS}, "region"),
            ({"signer_kms_key_id": "x", "signer_kms_region": "x"}, "address"),
            ({"signer_rpc_url": "http://x", "signer_address": "0x12"}, "address"),
            ({"signer_keystore": str(keystore), "signer_keystore_password": "wrong"}, "cannot be opened"),
        ):
            with pytest.raises(KeyRefused, match=why):
                load_key(SignerSettings.model_validate(wrong), "REWARDS_", http)
