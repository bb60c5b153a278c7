"""A running identity service for tests: real database, real tokens, real signatures."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from fastapi import FastAPI

from chassis.app import create_app
from chassis.auth import internal_token
from chassis.bus_memory import MemoryBus
from chassis.context import Context
from services.identity.app import SERVICE
from services.identity.settings import IdentitySettings

ADMIN_EMAIL = "root@example.com"
PASSWORD = "correct horse battery"
INTERNAL_SECRET = "an internal secret of more than 32 characters"
KEY_SECRET = "a key secret of more than thirty-two characters"


def identity_app(dsn: str, **changes: Any) -> FastAPI:
    """The identity application on the database `dsn`, in the role `api` unless told otherwise."""
    values: dict[str, Any] = {
        "environment": "test",
        "role": "api",
        "database_url": dsn,
        "internal_secret": INTERNAL_SECRET,
        "key_secret": KEY_SECRET,
        "admin_email": ADMIN_EMAIL,
        "admin_password": PASSWORD,
        "login_rate_limit": 1_000,
    }
    return create_app(SERVICE, settings=IdentitySettings(**(values | changes)), bus=MemoryBus())


@dataclass
class Person:
    """Somebody with an account and an open session."""

    member: dict[str, Any]
    session: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.member["id"])

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.session['access_token']}"}


@dataclass
class World:
    """The service, its HTTP client and its database."""

    app: FastAPI
    http: httpx.AsyncClient
    dsn: str
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    def body(self, **changes: Any) -> dict[str, Any]:
        """A registration nobody has made yet."""
        number = next(self._numbers)
        return {
            "email": f"person{number}@example.com",
            "password": PASSWORD,
            "display_name": f"Person {number}",
            "roles": ["talent"],
        } | changes

    async def register(self, **changes: Any) -> dict[str, Any]:
        answer = await self.http.post("/v1/members", json=self.body(**changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def log_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.http.post("/v1/sessions", json={"email": email, "password": password})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def person(self, **changes: Any) -> Person:
        member = await self.register(**changes)
        return Person(member, await self.log_in(member["email"]))

    async def admin(self) -> Person:
        session = await self.log_in(ADMIN_EMAIL)
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        return Person((await self.http.get("/v1/members/me", headers=headers)).json(), session)

    async def challenge(self, purpose: str, address: str, person: Person | None = None) -> dict[str, Any]:
        answer = await self.http.post(
            "/v1/wallet-challenges",
            json={"address": address, "purpose": purpose},
            headers=person.auth if person else {},
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def signed(self, purpose: str, account: LocalAccount, person: Person | None = None) -> dict[str, str]:
        """The body of a link or a wallet log-in, rightly signed."""
        challenge = await self.challenge(purpose, account.address, person)
        return {"message": challenge["message"], "signature": sign(account, challenge["message"])}

    async def link(self, person: Person, account: LocalAccount) -> dict[str, Any]:
        answer = await self.http.post(
            "/v1/members/me/wallets", json=await self.signed("link", account, person), headers=person.auth
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def internal(self, path: str) -> httpx.Response:
        token = internal_token(INTERNAL_SECRET, "identity")
        return await self.http.get(f"/internal{path}", headers={"Authorization": f"Bearer {token}"})

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def events(self, member_id: str | UUID) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of every event of the member, in the order in which they were stored."""
        rows = await self.fetch("SELECT type, value FROM outbox WHERE key = $1 ORDER BY id", str(member_id).encode())
        return [(row["type"], json.loads(row["value"])["data"]) for row in rows]


def new_wallet() -> LocalAccount:
    account: LocalAccount = Account.create()
    return account


def sign(account: LocalAccount, message: str) -> str:
    return "0x" + account.sign_message(encode_defunct(text=message)).signature.hex().removeprefix("0x")


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Assert that the answer is this problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status), answer.text
    assert all(problem[field] for field in ("type", "title", "detail", "instance"))
