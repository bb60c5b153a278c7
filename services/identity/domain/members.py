"""What a member may be called, how e-mail addresses are compared, and what a referral needs."""

import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from email_validator import EmailNotValidError, validate_email

from events.identity import Role
from services.identity.errors import InvalidDisplayName, InvalidEmail, SelfReferral

ROLES: tuple[Role, ...] = get_args(Role)
SELF_SERVICE_ROLES: tuple[Role, ...] = ("client", "talent", "connector")
"""Roles a person may take when they register; the others are given by an admin."""

DISPLAY_NAME_MAX = 80
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0, O, 1, I and L, which people mix up when they read a code aloud."""

CODE_LENGTH = 10
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = {"\u200c", "\u200d"}  # part of how Persian, Hindi and emoji sequences are written


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address in its three forms.

    `address` is how its owner wrote it, `folded` is what makes it unique, `normalized` (without `+tag`) tells
    whether two addresses are one person's.
    """

    address: str
    folded: str
    normalized: str


def parse_email(text: str) -> Email:
    """The address in its three forms; its syntax is checked, its server is not asked.

    Raises: InvalidEmail. Source: RFC 5321, RFC 6532; the network's rules, rule 5 (normalized comparison).
    """
    try:
        # test_environment admits the reserved domain .test; addresses that cannot exist outside stay refused.
        address = validate_email(text, check_deliverability=False, strict=True, test_environment=True).normalized
    except EmailNotValidError as error:
        raise InvalidEmail(str(error)) from error
    folded = fold_email(address)
    return Email(address, folded, drop_tag(folded))


def fold_email(address: str) -> str:
    """The form in which two spellings of one address are equal: compatibility forms and case are folded."""
    folded = unicodedata.normalize("NFKC", address).casefold()
    return unicodedata.normalize("NFKC", folded)


def drop_tag(folded: str) -> str:
    """The address without the `+tag` of its local part; one that is nothing but a tag is kept whole."""
    local, _, domain = folded.rpartition("@")
    base = local.partition("+")[0]
    return f"{base or local}@{domain}"


def check_display_name(text: str) -> str:
    """The name in normal form C, without blanks around it.

    Raises: InvalidDisplayName when it is empty, over `DISPLAY_NAME_MAX` characters, or holds control characters,
    direction marks or other characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= DISPLAY_NAME_MAX:
        raise InvalidDisplayName(f"A display name has 1 to {DISPLAY_NAME_MAX} characters")
    if any(unicodedata.category(character) in _INVISIBLE and character not in _JOINERS for character in name):
        raise InvalidDisplayName("A display name has no control characters and no invisible ones")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise InvalidDisplayName("A display name has at least one character that can be seen")
    return name


def order_roles(roles: Iterable[Role]) -> list[Role]:
    """The roles once each, always in the same order."""
    wanted = set(roles)
    return [role for role in ROLES if role in wanted]


def new_referral_code() -> str:
    """A random code of `CODE_LENGTH` characters of `CODE_ALPHABET`: 49 bits."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def read_referral_code(text: str) -> str | None:
    """The code as it is stored, however it was typed (case, blanks, hyphens); None when it cannot be one."""
    code = text.upper().replace(" ", "").replace("-", "")
    if len(code) != CODE_LENGTH or any(character not in CODE_ALPHABET for character in code):
        return None
    return code


def check_referral(*, referred: Email, connector_normalized: str) -> None:
    """Refuse a referral of oneself.

    Raises: SelfReferral. Source: the network's rules, rule 5.
    """
    if referred.normalized == connector_normalized:
        raise SelfReferral("This referral code is your own")
