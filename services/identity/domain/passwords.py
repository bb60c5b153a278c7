"""Passwords: Argon2id, with the same work done when there is nothing to compare with."""

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

PASSWORD_MIN = 12
PASSWORD_MAX = 128

_HASHER = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
"""19 MiB, two passes, one lane. Source: OWASP Password Storage Cheat Sheet, Argon2id."""

_NOBODY = _HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The salted hash, in the PHC text format. Slow on purpose: call it in a thread."""
    return _HASHER.hash(password)


def verify_password(password: str, stored: str | None) -> bool:
    """True when the password belongs to the stored hash. Slow on purpose: call it in a thread.

    With no stored hash (an unknown member) it takes as long and is False, so that time tells nothing.
    """
    try:
        matches = _HASHER.verify(password, stored or _NOBODY)
    except PwdlibError:
        matches = False
    return matches and stored is not None
