"""Challenges to sign, and when a payout wallet takes effect."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account

from chassis.ids import new_id
from chassis.signatures import SiweMessage
from services.identity.domain.wallets import (
    Challenge,
    PayoutStep,
    Purpose,
    check_challenge,
    decide_payout,
    new_challenge,
)
from services.identity.errors import ChallengeInvalid

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 22, 12, 0, 0, 123, tzinfo=UTC)
ADDRESS = Account.from_key("0x" + "11" * 32).address
MEMBER = new_id()


def challenge(purpose: Purpose = "link", **changes: object) -> Challenge:
    made = new_challenge(
        challenge_id=new_id(),
        address=ADDRESS,
        purpose=purpose,
        member_id=MEMBER if purpose == "link" else None,
        origin="https://btrst.example:8443",
        chain_id=31337,
        now=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_message_says_what_is_signed() -> None:
    made = challenge()
    message = SiweMessage.parse(made.message)
    assert (message.domain, message.uri) == ("btrst.example:8443", "https://btrst.example:8443")
    assert (message.address, message.chain_id, message.version) == (ADDRESS, 31337, "1")
    assert message.resources == (f"urn:btrst:member:{MEMBER}",)
    assert message.expiration_time is not None
    assert message.expiration_time - message.issued_at == timedelta(seconds=300)
    assert message.expiration_time == made.expires_at
    assert SiweMessage.parse(challenge("sign_in").message).resources == ()


def test_every_nonce_is_new() -> None:
    nonces = {SiweMessage.parse(challenge().message).nonce for _ in range(200)}
    assert len(nonces) == 200
    assert all(len(nonce) >= 16 for nonce in nonces)


def test_a_right_answer() -> None:
    made = challenge()
    assert check_challenge(made, signer=ADDRESS, purpose="link", member_id=MEMBER, now=NOW) is made


@pytest.mark.parametrize(
    ("made", "signer", "member_id"),
    [
        (None, ADDRESS, MEMBER),
        (challenge("sign_in"), ADDRESS, MEMBER),
        (challenge(), ADDRESS, new_id()),
        (challenge(), ADDRESS, None),
        (challenge(), Account.from_key("0x" + "22" * 32).address, MEMBER),
        (challenge(consumed_at=NOW), ADDRESS, MEMBER),
        (challenge(expires_at=NOW), ADDRESS, MEMBER),
    ],
    ids=["unknown", "other purpose", "other member", "no member", "other key", "used", "expired"],
)
def test_wrong_answers(made: Challenge | None, signer: str, member_id: object) -> None:
    with pytest.raises(ChallengeInvalid) as refused:
        check_challenge(made, signer=signer, purpose="link", member_id=member_id, now=NOW)  # type: ignore[arg-type]
    assert (refused.value.status, refused.value.code) == (401, "challenge_invalid")


@pytest.mark.parametrize(
    ("wanted", "current", "pending", "step"),
    [
        ("A", None, None, PayoutStep.AT_ONCE),
        ("A", "A", None, PayoutStep.KEEP),
        ("B", "A", None, PayoutStep.DELAYED),
        ("B", "A", "B", PayoutStep.KEEP),
        ("A", "A", "B", PayoutStep.AT_ONCE),
        ("C", "A", "B", PayoutStep.DELAYED),
    ],
)
def test_payout_wallets(wanted: str, current: str | None, pending: str | None, step: PayoutStep) -> None:
    assert decide_payout(wanted=wanted, current=current, pending=pending) is step
