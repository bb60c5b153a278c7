"""Passwords, signing keys, access tokens, the log-in limit."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from chassis.ids import new_id
from services.identity.domain.passwords import hash_password, verify_password
from services.identity.domain.rate import SECOND_NS, RateLimiter
from services.identity.domain.tokens import (
    PUBLISHED_AFTER_USE,
    SigningKey,
    TokenRules,
    current_key,
    jwks,
    keys_to_add,
    new_key,
    open_key,
    retired_kids,
    sign_access_token,
)

pytestmark = pytest.mark.unit

SECRET = "a secret of more than thirty-two characters"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = TokenRules("issuer", "audience", 900, 3_600, 86_400, SECRET)


def test_passwords() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "correct" not in stored
    assert verify_password("correct horse battery", stored)
    assert not verify_password("Correct horse battery", stored)
    assert not verify_password("correct horse battery ", stored)
    assert hash_password("correct horse battery") != stored


def test_an_unknown_member_costs_the_same_time() -> None:
    stored = hash_password("correct horse battery")

    def cost(of: str | None) -> float:
        begin = time.process_time()
        for _ in range(5):
            verify_password("wrong horse battery", of)
        return time.process_time() - begin

    cost(None)
    known, unknown = cost(stored), cost(None)
    assert known / 2 < unknown < known * 2
    assert not verify_password("nobody has this password", None)


def test_a_key_is_named_by_its_thumbprint_and_sealed() -> None:
    key = new_key(secret=SECRET, signs_from=NOW)
    private = open_key(key.sealed, SECRET)
    assert key.kid == private.thumbprint()
    assert set(key.public) == {"kty", "crv", "x", "y", "kid"}
    assert str(private.as_dict(private=True)["d"]) not in key.sealed
    with pytest.raises(ValueError, match="IDENTITY_KEY_SECRET"):
        open_key(key.sealed, SECRET + "?")
    with pytest.raises(ValueError, match="32 characters"):
        new_key(secret="short", signs_from=NOW)


def test_an_access_token_holds_what_it_must() -> None:
    key = new_key(secret=SECRET, signs_from=NOW)
    member_id, session_id = new_id(), new_id()
    token = sign_access_token(
        key=key, rules=RULES, member_id=member_id, session_id=session_id, roles=["client"], now=NOW
    )
    decoded = jwt.decode(token, KeySet([open_key(key.sealed, SECRET)]), algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    assert len(decoded.claims.pop("jti")) >= 16
    assert decoded.claims == {
        "iss": "issuer",
        "aud": "audience",
        "sub": str(member_id),
        "sid": str(session_id),
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 900,
        "roles": ["client"],
    }


def test_the_key_set_tells_nothing_private() -> None:
    document = jwks([new_key(secret=SECRET, signs_from=NOW)])
    assert {frozenset(key) for key in document["keys"]} == {frozenset({"kty", "crv", "x", "y", "kid", "use", "alg"})}


def _key(kid: str, signs_from: datetime) -> SigningKey:
    return SigningKey(kid=kid, public={}, sealed="", signs_from=signs_from)


def test_the_first_start_makes_two_keys() -> None:
    period = timedelta(days=1)
    assert keys_to_add([], now=NOW, period_seconds=86_400) == [NOW, NOW + period]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40 * 3_600), min_size=1, max_size=60))
def test_rotation_always_leaves_one_that_signs_and_one_ahead(steps_seconds: list[int]) -> None:
    keys: list[SigningKey] = []
    now, made = NOW, 0
    last_signed: dict[str, datetime] = {}
    for step in [0, *steps_seconds]:
        now += timedelta(seconds=step)
        for turn in keys_to_add(keys, now=now, period_seconds=86_400):
            made += 1
            keys.append(_key(str(made), turn))
        retired = retired_kids(keys, now=now)
        assert all(now - last_signed.get(kid, NOW) > PUBLISHED_AFTER_USE for kid in retired)
        keys = [key for key in keys if key.kid not in retired]
        current = current_key(keys, now)
        assert current is not None
        last_signed[current.kid] = now
        assert len([key for key in keys if key.signs_from > now]) == 1
        assert keys_to_add(keys, now=now, period_seconds=86_400) == []
        turns = sorted(key.signs_from for key in keys)
        assert all(after - before >= timedelta(hours=12) for before, after in pairwise(turns))


def test_the_log_in_limit() -> None:
    limiter = RateLimiter(per_second=10)
    verdicts = [limiter.take("1.2.3.4", SECOND_NS) for _ in range(12)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 10 + [False] * 2
    assert [verdict.remaining for verdict in verdicts[:10]] == list(range(9, -1, -1))
    assert verdicts[-1].retry_after_seconds == 1
    assert limiter.take("5.6.7.8", SECOND_NS).allowed
    assert limiter.take("1.2.3.4", SECOND_NS + SECOND_NS // 10).allowed
    assert not limiter.take("1.2.3.4", SECOND_NS + SECOND_NS // 10).allowed
    assert limiter.take("1.2.3.4", 10 * SECOND_NS).remaining == 9


@given(st.integers(1, 2_000), st.lists(st.integers(0, SECOND_NS), max_size=300))
def test_no_second_sees_more_than_twice_the_limit(per_second: int, gaps_ns: list[int]) -> None:
    limiter, now, taken = RateLimiter(per_second), 0, []
    for gap in gaps_ns:
        now += gap
        if limiter.take("somebody", now).allowed:
            taken.append(now)
    for begin in taken:
        assert sum(begin <= moment < begin + SECOND_NS for moment in taken) <= 2 * per_second


def test_keys_are_real_elliptic_curve_keys() -> None:
    assert isinstance(open_key(new_key(secret=SECRET, signs_from=NOW).sealed, SECRET), ECKey)
