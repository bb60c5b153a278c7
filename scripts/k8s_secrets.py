"""Make the Secrets of a new deployment on Kubernetes. None is kept here, and none belongs into a repository.

Usage: python -m scripts.k8s_secrets --namespace btrst --rpc URL[,URL] --admin-email EMAIL | kubectl create -f -

`create`, not `apply`: Secrets that are there already are left alone. The addresses of the two new chain accounts,
which need ether for gas and a role in the contracts, are told on standard error.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from eth_account import Account

SERVICES = ("identity", "jobs", "rewards", "governance")
DATABASE_HOST = "postgres-rw:5432"


def new_chain_key() -> str:
    """A private key, as 64 hexadecimal digits."""
    return bytes(Account.create().key).hex()


def make_secrets(*, rpc_urls: str, admin_email: str, rewards_key: str, relay_key: str) -> dict[str, dict[str, str]]:
    """Name → key → value of every Secret that the manifests mount, beside those that operators of the cluster make."""
    made: dict[str, dict[str, str]] = {
        "internal": {"INTERNAL_SECRET": secrets.token_urlsafe(48)},
        "identity": {
            "IDENTITY_KEY_SECRET": secrets.token_urlsafe(48),
            "IDENTITY_ADMIN_EMAIL": admin_email,
            "IDENTITY_ADMIN_PASSWORD": secrets.token_urlsafe(24),
        },
        "chain": {"CHAIN_RPC_URLS": rpc_urls},
        "rewards-signer": {"key": rewards_key},
        "governance-relay": {"key": relay_key},
    }
    for service in SERVICES:
        password = secrets.token_urlsafe(32)
        made[f"postgres-{service}"] = {"username": service, "password": password}
        url = f"postgresql://{service}:{quote(password)}@{DATABASE_HOST}/btrst_{service}?sslmode=verify-full"
        made.setdefault(service, {})[f"{service.upper()}_DATABASE_URL"] = url
    return made


def manifest(namespace: str, made: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The Secrets as one Kubernetes List."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/basic-auth" if "username" in values else "Opaque",
            "stringData": dict(values),
        }
        for name, values in made.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def main() -> None:
    """Print the Secrets as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--rpc", required=True, help="JSON-RPC endpoints of the chain, comma-separated")
    parser.add_argument("--admin-email", required=True, help="the first administrator's e-mail")
    parser.add_argument("--rewards-key", type=Path, help="file with the signer's private key (a new one if not given)")
    parser.add_argument("--relay-key", type=Path, help="file with the relay's private key (a new one if not given)")
    given = parser.parse_args()
    keys = {
        name: path.read_text("ascii").strip() if path else new_chain_key()
        for name, path in (("rewards_key", given.rewards_key), ("relay_key", given.relay_key))
    }
    for name, key in keys.items():
        print(f"{name.removesuffix('_key')} account: {Account.from_key(key).address}", file=sys.stderr)
    made = make_secrets(rpc_urls=given.rpc, admin_email=given.admin_email, **keys)
    print(json.dumps(manifest(given.namespace, made), indent=2))


if __name__ == "__main__":
    main()
