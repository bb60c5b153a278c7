"""The secrets of a local deployment: made once, kept in a file that only its owner reads."""

import json
import os
import secrets
from pathlib import Path
from typing import TypedDict

KEYS = ("deployer", "rewards_signer", "governance_relay", "guardian")


class Secrets(TypedDict):
    """Hex keys of the chain accounts, and the passwords and secrets of the services."""

    internal_secret: str
    identity_key_secret: str
    admin_email: str
    admin_password: str
    keys: dict[str, str]


def load_or_make(path: Path) -> Secrets:
    """The secrets in `path`, made at first use. Every account has a key of its own; none is a well-known one."""
    if path.exists():
        known: Secrets = json.loads(path.read_text())
        return known
    made = Secrets(
        internal_secret=secrets.token_urlsafe(48),
        identity_key_secret=secrets.token_urlsafe(48),
        admin_email="admin@example.com",
        admin_password=secrets.token_urlsafe(18),
        keys={name: "0x" + secrets.token_bytes(32).hex() for name in KEYS},
    )
    write_private(path, json.dumps(made, indent=2))
    return made


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, mode 0600."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
