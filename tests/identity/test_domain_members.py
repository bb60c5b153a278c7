"""E-mail addresses, names, roles and referral codes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.members import (
    CODE_ALPHABET,
    CODE_LENGTH,
    check_display_name,
    check_referral,
    drop_tag,
    fold_email,
    new_referral_code,
    order_roles,
    parse_email,
    read_referral_code,
)
from services.identity.errors import InvalidDisplayName, InvalidEmail, SelfReferral

pytestmark = pytest.mark.unit

LOCALS = st.text(string.ascii_letters + string.digits + "éüñßΣς", min_size=1, max_size=12)
TAGS = st.text(string.ascii_letters + string.digits + "+", min_size=0, max_size=8)
DOMAINS = st.sampled_from(["example.com", "Example.COM", "mail.example.org", "bücher.example.com", "x.test"])


@given(local=LOCALS, domain=DOMAINS)
def test_case_never_matters(local: str, domain: str) -> None:
    plain = parse_email(f"{local}@{domain}")
    assert parse_email(f"{local.lower()}@{domain.lower()}").folded == plain.folded
    assert parse_email(f"{local.upper()}@{domain.upper()}").folded == plain.folded


@given(local=LOCALS, tag=TAGS, domain=DOMAINS)
def test_a_tag_changes_the_address_but_not_the_person(local: str, tag: str, domain: str) -> None:
    plain, tagged = parse_email(f"{local}@{domain}"), parse_email(f"{local}+{tag}@{domain}")
    assert tagged.normalized == plain.normalized
    assert tagged.folded != plain.folded


@given(first=LOCALS, second=LOCALS, domain=DOMAINS)
def test_different_people_stay_different(first: str, second: str, domain: str) -> None:
    one, other = parse_email(f"{first}@{domain}"), parse_email(f"{second}@{domain}")
    assert (one.normalized == other.normalized) == (fold_email(first) == fold_email(second))


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    folded = fold_email(text)
    assert fold_email(folded) == folded


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        email = parse_email(text)
    except InvalidEmail:
        return
    assert email.folded.count("@") >= 1
    assert "\x00" not in email.folded
    assert drop_tag(email.normalized) == email.normalized


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a b@example.com",
        "ada@example..com",
        "ada@@example.com",
        "ada\x00@example.com",
        "ada\n@example.com",
        "ada@[127.0.0.1]",
        "ada@localhost",
        '"a b"@example.com',
        "a" * 65 + "@example.com",
        "ada@" + "x" * 260 + ".com",
        "\ud800@example.com",
        "Ada <ada@example.com>",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidEmail) as refused:
        parse_email(text)
    assert refused.value.code == "invalid_email"


def test_a_local_part_that_is_only_a_tag_is_kept() -> None:
    assert parse_email("+a@example.com").normalized != parse_email("+b@example.com").normalized


def test_nobody_refers_themselves() -> None:
    connector = parse_email("ada@example.com")
    with pytest.raises(SelfReferral):
        check_referral(referred=parse_email("ADA+two@Example.com"), connector_normalized=connector.normalized)
    check_referral(referred=parse_email("ben@example.com"), connector_normalized=connector.normalized)


@pytest.mark.parametrize("name", ["Ada", "  Ada  ", "李小龍", "Zoë O'Neil-Smith", "👩‍💻 dev", "x" * 80])
def test_names(name: str) -> None:
    assert check_display_name(name) == name.strip()


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 81, "a\x00b", "a\nb", "a\x1b[31m", "a\u202eb", "\u200b", "a\u2028b", "\u200d", "a\ue000"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidDisplayName):
        check_display_name(name)


def test_roles_come_once_and_in_order() -> None:
    assert order_roles(["talent", "client", "talent"]) == ["client", "talent"]
    assert order_roles([]) == []


def test_codes_are_unambiguous_and_differ() -> None:
    codes = {new_referral_code() for _ in range(500)}
    assert len(codes) == 500
    assert all(len(code) == CODE_LENGTH and set(code) <= set(CODE_ALPHABET) for code in codes)
    assert not set("01OIL") & set(CODE_ALPHABET)


def test_codes_are_read_however_they_are_typed() -> None:
    code = new_referral_code()
    assert read_referral_code(f" {code[:5].lower()}-{code[5:]} ") == code


@given(st.text(max_size=30))
def test_any_text_is_a_code_or_none(text: str) -> None:
    code = read_referral_code(text)
    assert code is None or (len(code) == CODE_LENGTH and set(code) <= set(CODE_ALPHABET))
