"""Wallet signatures against the published examples and an independent implementation, and every refusal."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Unauthorized
from chassis.signatures import (
    AddressInvalid,
    SignatureInvalid,
    SiweMessage,
    eip712_digest,
    parse_address,
    personal_digest,
    recover_digest,
    recover_personal,
    recover_typed,
)

pytestmark = pytest.mark.unit

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# The example of EIP-712 itself: signed by the key keccak256("cow").
MAIL_DOMAIN = {
    "name": "Ether Mail",
    "version": "1",
    "chainId": 1,
    "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
}
MAIL_TYPES = {
    "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
    "Mail": [
        {"name": "from", "type": "Person"},
        {"name": "to", "type": "Person"},
        {"name": "contents", "type": "string"},
    ],
}
MAIL = {
    "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
    "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    "contents": "Hello, Bob!",
}
MAIL_DIGEST = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
MAIL_SIGNATURE = (
    "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
    "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
)
COW = "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"


def test_the_example_of_eip_712() -> None:
    assert eip712_digest(MAIL_DOMAIN, MAIL_TYPES, MAIL).hex() == MAIL_DIGEST
    assert recover_typed(MAIL_DOMAIN, MAIL_TYPES, MAIL, MAIL_SIGNATURE) == COW
    with_domain_type = {"EIP712Domain": [{"name": "name", "type": "string"}], **MAIL_TYPES}
    assert eip712_digest(MAIL_DOMAIN, with_domain_type, MAIL).hex() == MAIL_DIGEST


@pytest.mark.parametrize("part", ["name", "version", "chainId", "verifyingContract"])
def test_every_part_of_the_domain_counts(part: str) -> None:
    other = dict(MAIL_DOMAIN)
    other[part] = {"chainId": 5, "verifyingContract": "0x" + "11" * 20}.get(part, "other")
    assert recover_typed(other, MAIL_TYPES, MAIL, MAIL_SIGNATURE) != COW


def test_the_content_counts() -> None:
    other = copy.deepcopy(MAIL)
    other["contents"] = "Hello, Eve!"
    assert recover_typed(MAIL_DOMAIN, MAIL_TYPES, other, MAIL_SIGNATURE) != COW


@pytest.mark.parametrize(
    "message",
    [
        MAIL | {"to": {"name": "Bob"}},
        MAIL | {"contents": 7},
        {"from": MAIL["from"]},
        MAIL | {"to": None},
        MAIL | {"more": 1},
        MAIL | {"to": {"name": "Bob", "wallet": "0x12"}},
        MAIL | {"to": {"name": "Bob", "wallet": 5}},
    ],
)
def test_a_message_that_does_not_fit_its_types_has_no_digest(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        eip712_digest(MAIL_DOMAIN, MAIL_TYPES, message)


EVERY_KIND = {
    "Leaf": [{"name": "flag", "type": "bool"}, {"name": "raw", "type": "bytes"}],
    "Branch": [{"name": "leaves", "type": "Leaf[]"}, {"name": "grid", "type": "int16[2][]"}],
    "Tree": [
        {"name": "branch", "type": "Branch"},
        {"name": "id", "type": "bytes32"},
        {"name": "who", "type": "address[]"},
        {"name": "n", "type": "uint256"},
        {"name": "names", "type": "string[2]"},
    ],
}


@given(
    leaves=st.lists(st.fixed_dictionaries({"flag": st.booleans(), "raw": st.binary(max_size=40)}), max_size=3),
    grid=st.lists(st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**15), 2**15 - 1)), max_size=3),
    ident=st.binary(min_size=32, max_size=32),
    number=st.integers(0, 2**256 - 1),
    names=st.tuples(st.text(max_size=9), st.text(max_size=9)).map(list),
)
def test_typed_data_agrees_with_an_independent_implementation(
    leaves: list[Any], grid: list[Any], ident: bytes, number: int, names: list[str]
) -> None:
    names = [name.encode("utf-8", "replace").decode() for name in names]
    tree = {
        "branch": {"leaves": leaves, "grid": [list(pair) for pair in grid]},
        "id": ident,
        "who": [COW, COW.lower()],
        "n": number,
        "names": names,
    }
    signed = Account.sign_message(encode_typed_data(MAIL_DOMAIN, EVERY_KIND, tree), b"\x05" * 32)
    assert eip712_digest(MAIL_DOMAIN, EVERY_KIND, tree) == signed.message_hash
    as_json = tree | {"id": "0x" + ident.hex(), "n": str(number)}
    assert eip712_digest(MAIL_DOMAIN, EVERY_KIND, as_json) == signed.message_hash


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("uint8", "0x1"),
        ("uint8", "1_0"),
        ("uint8", " 1"),
        ("uint256", str(2**256)),
        ("uint256", 1.0),
        ("bool", 1),
        ("bytes4", "0x1234"),
        ("bytes4", "0x1234567890"),
        ("bytes32", "1234"),
        ("address", "0xabc"),
        ("uint8[2]", [1]),
        ("uint8[]", "12"),
        ("Missing", {}),
    ],
)
def test_a_value_that_is_not_of_its_type_has_no_digest(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        eip712_digest(MAIL_DOMAIN, {"Thing": [{"name": "value", "type": kind}]}, {"value": value})


@given(st.text(max_size=300))
def test_personal_messages_agree_with_an_independent_implementation(text: str) -> None:
    body = text.encode("utf-8", "replace").decode()
    signed = Account.sign_message(encode_defunct(text=body), b"\x05" * 32)
    assert personal_digest(body) == signed.message_hash
    assert recover_personal(body, "0x" + signed.signature.hex()) == Account.from_key(b"\x05" * 32).address
    assert recover_personal(body.encode(), signed.signature) == Account.from_key(b"\x05" * 32).address


@pytest.mark.parametrize("v", [0, 1, 27, 28])
def test_v_may_be_a_parity_or_27_more(v: int) -> None:
    raw = bytes.fromhex(MAIL_SIGNATURE[2:])
    digest = bytes.fromhex(MAIL_DIGEST)
    recovered = recover_digest(digest, raw[:64] + bytes([v]))
    assert (recovered == COW) is (v in {1, 28})


@pytest.mark.parametrize("v", [2, 3, 26, 29, 30, 35, 37, 255])
def test_no_other_v_is_taken(v: int) -> None:
    raw = bytes.fromhex(MAIL_SIGNATURE[2:])
    with pytest.raises(SignatureInvalid, match="v is none"):
        recover_digest(bytes.fromhex(MAIL_DIGEST), raw[:64] + bytes([v]))


def test_the_high_s_twin_is_refused() -> None:
    raw = bytes.fromhex(MAIL_SIGNATURE[2:])
    s = int.from_bytes(raw[32:64], "big")
    twin = raw[:32] + (ORDER - s).to_bytes(32, "big") + bytes([27 if raw[64] == 28 else 28])
    assert Account._recover_hash(bytes.fromhex(MAIL_DIGEST), signature=twin) == COW, "the twin is valid elsewhere"
    with pytest.raises(SignatureInvalid, match="upper half"):
        recover_digest(bytes.fromhex(MAIL_DIGEST), twin)


@pytest.mark.parametrize("half", [ORDER // 2, ORDER // 2 + 1])
def test_the_border_between_the_halves(half: int) -> None:
    raw = bytes.fromhex(MAIL_SIGNATURE[2:66]) + half.to_bytes(32, "big") + b"\x1b"
    if half > ORDER // 2:
        with pytest.raises(SignatureInvalid, match="upper half"):
            recover_digest(bytes.fromhex(MAIL_DIGEST), raw)
    else:
        assert recover_digest(bytes.fromhex(MAIL_DIGEST), raw).startswith("0x")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0x",
        MAIL_SIGNATURE[2:],
        MAIL_SIGNATURE[:-2],
        MAIL_SIGNATURE + "00",
        "0X" + MAIL_SIGNATURE[2:],
        MAIL_SIGNATURE[:-1] + "g",
        MAIL_SIGNATURE[:-1] + "\u0661",
        MAIL_SIGNATURE + "\n",
        "0x" + "00" * 64 + "1b",
        "0x" + "ff" * 32 + "00" * 31 + "01" + "1b",
        "0x" + "00" * 32 + "00" * 31 + "01" + "1b",
        b"",
        b"\x01" * 64,
        b"\x01" * 66,
    ],
)
def test_what_is_no_signature_is_refused(signature: str | bytes) -> None:
    with pytest.raises(SignatureInvalid) as refusal:
        recover_digest(bytes.fromhex(MAIL_DIGEST), signature)
    assert isinstance(refusal.value, Unauthorized)
    assert (refusal.value.status, refusal.value.code) == (401, "signature_invalid")


def test_an_address_is_taken_in_one_case_or_with_right_capitals() -> None:
    assert parse_address(COW) == parse_address(COW.lower()) == parse_address("0x" + COW[2:].upper()) == COW
    for wrong in (
        COW[:-1],
        COW + "0",
        COW[2:],
        "0x" + "g" * 40,
        COW.replace("CD", "cD", 1),
        "",
        COW + "\n",
        "0X" + COW[2:],
    ):
        with pytest.raises(AddressInvalid) as refusal:
            parse_address(wrong)
        assert (refusal.value.status, refusal.value.code) == (422, "address_invalid")


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
FULL = SiweMessage(
    domain="btrst.example:8443",
    address=COW,
    statement="Link this wallet to your account.",
    uri="https://btrst.example:8443/wallets",
    chain_id=31337,
    nonce="k3PzQ81mXo0a",
    issued_at=NOW,
    expiration_time=NOW + timedelta(seconds=300),
    not_before=NOW,
    request_id="r-1",
    resources=("urn:btrst:member:0190d6c0-0000-7000-8000-000000000001", "https://example.com/a?b=c"),
)
FULL_TEXT = """btrst.example:8443 wants you to sign in with your Ethereum account:
0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826

Link this wallet to your account.

URI: https://btrst.example:8443/wallets
Version: 1
Chain ID: 31337
Nonce: k3PzQ81mXo0a
Issued At: 2026-11-22T12:00:00Z
Expiration Time: 2026-11-22T12:05:00Z
Not Before: 2026-11-22T12:00:00Z
Request ID: r-1
Resources:
- urn:btrst:member:0190d6c0-0000-7000-8000-000000000001
- https://example.com/a?b=c"""
BARE_TEXT = """127.0.0.1:8080 wants you to sign in with your Ethereum account:
0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826


URI: http://127.0.0.1:8080
Version: 1
Chain ID: 1
Nonce: 12345678
Issued At: 2026-11-22T12:00:00Z"""


def test_a_sign_in_message_with_every_field() -> None:
    assert FULL.to_text() == FULL_TEXT
    assert SiweMessage.parse(FULL_TEXT) == FULL


def test_a_sign_in_message_with_no_optional_field() -> None:
    bare = SiweMessage("127.0.0.1:8080", COW, "http://127.0.0.1:8080", 1, "12345678", NOW)
    assert bare.to_text() == BARE_TEXT
    assert SiweMessage.parse(BARE_TEXT) == bare


def test_a_signed_sign_in_message_recovers_its_address() -> None:
    account = Account.from_key(b"\x09" * 32)
    text = FULL_TEXT.replace(COW, account.address)
    signature = Account.sign_message(encode_defunct(text=text), account.key).signature
    assert recover_personal(text, signature) == SiweMessage.parse(text).address == account.address


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" wants you to sign in", " wants you to log in"),
        (COW, COW.lower()),
        (COW, COW[:-1]),
        ("Link this", "Link\nthis"),
        ("account.\n\nURI", "account.\nURI"),
        ("Version: 1", "Version: 2"),
        ("Chain ID: 31337", "Chain ID: 031337"),
        ("Chain ID: 31337", "Chain ID: -1"),
        ("Chain ID: 31337", "Chain ID: 3_1"),
        ("Chain ID: 31337", "Chain ID: \u0663"),
        ("Nonce: k3PzQ81mXo0a", "Nonce: short"),
        ("Nonce: k3PzQ81mXo0a", "Nonce: k3PzQ81m-o0a"),
        ("Nonce: k3PzQ81mXo0a\n", ""),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: yesterday"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-11-22T12:00:00"),
        ("Issued At: 2026-11-22T12:00:00Z", "Issued At: 2026-13-22T12:00:00Z"),
        ("Version: 1\nChain ID: 31337", "Chain ID: 31337\nVersion: 1"),
        ("Request ID: r-1", "Request: r-1"),
        ("- urn:btrst", "urn:btrst"),
        ("- https://example.com/a?b=c", "- not a uri"),
        ("b=c", "b=c\n"),
        ("b=c", "b=c\nmore"),
        ("\n", "\r\n"),
        ("btrst.example:8443 wants", " wants"),
        ("btrst.example:8443 wants", "evil.example btrst.example:8443 wants"),
        ("URI: https", "URI:  https"),
        ("Link this wallet", "Link \u200bthis wallet"),
    ],
)
def test_what_departs_from_the_grammar_is_refused(old: str, new: str) -> None:
    changed = FULL_TEXT.replace(old, new)
    assert changed != FULL_TEXT
    with pytest.raises(SignatureInvalid):
        SiweMessage.parse(changed)


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        SiweMessage.parse(text)


@given(st.integers(0, len(FULL_TEXT)))
def test_no_cut_makes_the_parser_fail_in_another_way(cut: int) -> None:
    try:
        parsed = SiweMessage.parse(FULL_TEXT[:cut])
    except SignatureInvalid:
        return
    assert FULL_TEXT[:cut].startswith(parsed.to_text()[:80])


def test_a_huge_text_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        SiweMessage.parse(FULL_TEXT + "x" * 5000)
