"""Help for tests: databases that cost a few milliseconds, access tokens for any member, a running application."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from chassis import migrations
from chassis.ids import new_id

ROOT = Path(__file__).resolve().parent.parent


def with_database(dsn: str, name: str) -> str:
    """`dsn` with another database's name."""
    return f"{dsn.rpartition('/')[0]}/{name}"


async def create_database(server_dsn: str, name: str, *, template: str | None = None) -> str:
    """Create a database; its DSN."""
    connection = await asyncpg.connect(server_dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    finally:
        await connection.close()
    return with_database(server_dsn, name)


async def drop_database(server_dsn: str, name: str) -> None:
    """Drop a database, cutting whoever is connected."""
    connection = await asyncpg.connect(server_dsn)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _template(server_dsn: str, location: Path) -> str:
    """The name of a database migrated by the history in `location`; made once per cluster and state of the files."""
    versions = sorted((location / "versions").glob("*.py"))
    name = "template_" + sha256(b"".join(path.read_bytes() for path in versions)).hexdigest()[:24]
    connection = await asyncpg.connect(server_dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            making = f"{name}_{os.getpid()}"
            await connection.execute(f'CREATE DATABASE "{making}"')
            await asyncio.to_thread(migrations.upgrade, with_database(server_dsn, making), location)
            await connection.execute(f'ALTER DATABASE "{making}" RENAME TO "{name}"')
    finally:
        await connection.close()
    return name


@asynccontextmanager
async def fresh_database(server_dsn: str, location: str | Path | None = None) -> AsyncIterator[str]:
    """The DSN of an empty database, or of one migrated by the history in `location`; dropped afterwards."""
    template = await _template(server_dsn, ROOT / location) if location else None
    name = f"t_{new_id().hex}"
    try:
        yield await create_database(server_dsn, name, template=template)
    finally:
        await drop_database(server_dsn, name)


class TokenMint:
    """A stand-in for identity's keys in tests of other services: real ES256 tokens, real JWKS.

    Usable as a service's `token_source`.
    """

    def __init__(self, *, issuer: str = "btrst-network", audience: str = "btrst-api") -> None:
        self._key = ECKey.generate_key("P-256", parameters={"alg": "ES256", "use": "sig"}, auto_kid=True)
        self._issuer = issuer
        self._audience = audience
        self._revoked: list[dict[str, str]] = []

    def token(self, member_id: UUID, *roles: str, session_id: UUID | None = None, **claims: Any) -> str:
        """An access token of the member; keyword arguments replace claims (None leaves one out)."""
        now = int(time.time())
        full: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(member_id),
            "sid": str(session_id or new_id()),
            "iat": now,
            "exp": now + 900,
            "jti": str(new_id()),
            "roles": list(roles),
        } | claims
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid}
        return jwt.encode(
            header, {name: value for name, value in full.items() if value is not None}, self._key, algorithms=["ES256"]
        )

    def headers(self, member_id: UUID, *roles: str) -> dict[str, str]:
        """The Authorization header of the member."""
        return {"Authorization": f"Bearer {self.token(member_id, *roles)}"}

    def revoke(self, kind: str, subject: UUID) -> None:
        """Put an entry on the revocation feed."""
        self._revoked.append({"kind": kind, "id": str(subject), "at": "2026-01-01T00:00:00Z"})

    async def keys(self) -> dict[str, Any]:
        """The JWKS document."""
        return {"keys": [self._key.as_dict(private=False)]}

    async def revocations(self, after: str | None) -> dict[str, Any]:
        """Everything revoked since `after`."""
        start = int(after or 0)
        return {"items": self._revoked[start:], "next": str(len(self._revoked))}


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """`app` with its lifespan: database, bus and background work are up inside the block."""
    async with app.router.lifespan_context(app):
        yield app


async def eventually(check: Any, *, seconds: float = 15.0, every: float = 0.05) -> Any:
    """Call the async `check` until it gives something true; that value.

    Raises: AssertionError when it has not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        if value := await check():
            return value
        assert time.monotonic() < deadline, f"not so within {seconds} s: {check}"
        await asyncio.sleep(every)
