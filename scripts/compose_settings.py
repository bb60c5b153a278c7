"""Make the secrets of a deployment by Compose: once, each as a file that only who needs it is given.

Usage: python -m scripts.compose_settings FOLDER. Files that are there already are kept. FOLDER/<who>/<SETTING> is what
<who> reads by `SECRETS_DIR`; nobody but the account that ran this, and its group, can read them.
"""

import os
import secrets
import sys
from pathlib import Path

from eth_account import Account

DATABASE_HOST = "postgres:5432"
SERVICES = ("identity", "jobs", "rewards", "governance")


class Settings:
    """The files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made = 0

    def once(self, who: str, name: str, value: str) -> str:
        """What `who` is told as `name`: what was told before, else `value`, written now in one step."""
        path = self._folder / who / name
        if path.exists():
            return path.read_text()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{name}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o440)
        with os.fdopen(descriptor, "w") as file:
            file.write(value)
        scratch.replace(path)
        self.made += 1
        return value


def new_key() -> str:
    """A private key of the chain, as hexadecimal digits."""
    return bytes(Account.create().key).hex()


def make(folder: Path) -> int:
    """Write what is missing below `folder`; how many files that were."""
    settings = Settings(folder)
    password = settings.once("postgres", "POSTGRES_PASSWORD", secrets.token_urlsafe(32))
    settings.once("databases", "ADMIN_DATABASE_URL", f"postgresql://postgres:{password}@{DATABASE_HOST}/postgres")
    for service in SERVICES:
        name = f"{service.upper()}_DATABASE_URL"
        own = f"postgresql://{service}:{secrets.token_urlsafe(32)}@{DATABASE_HOST}/btrst_{service}"
        settings.once("databases", name, settings.once(service, name, own))
    internal = settings.once("gateway", "INTERNAL_SECRET", secrets.token_urlsafe(48))
    for service in SERVICES:
        settings.once(service, "INTERNAL_SECRET", internal)
    settings.once("identity", "IDENTITY_KEY_SECRET", secrets.token_urlsafe(48))
    settings.once("identity", "IDENTITY_ADMIN_EMAIL", "admin@example.com")
    settings.once("identity", "IDENTITY_ADMIN_PASSWORD", secrets.token_urlsafe(18))
    settings.once("deployer", "DEPLOYER_KEY", new_key())
    signer = settings.once("rewards", "REWARDS_SIGNER_KEY", new_key())
    relay = settings.once("governance", "GOVERNANCE_SIGNER_KEY", new_key())
    guardian = settings.once("guardian", "GUARDIAN_KEY", new_key())
    for name, key in (("REWARDS_SIGNER", signer), ("GOVERNANCE_SUBMITTER", relay), ("GUARDIAN", guardian)):
        settings.once("deployer", f"{name}_ADDRESS", Account.from_key(key).address)
    return settings.made


def main(arguments: list[str]) -> int:
    """Command line; one line either way."""
    if len(arguments) != 1:
        print("usage: python -m scripts.compose_settings FOLDER", file=sys.stderr)
        return 2
    try:
        made = make(Path(arguments[0]))
    except OSError as error:
        print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{made} settings made" if made else "every setting is there already")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
