"""A small client of the gateway for the demo and the end-to-end tests: a person, a token, a wallet."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount

from chassis.http import HttpClient, HttpResponse, HttpUnavailable

PASSWORD = "correct horse battery staple"  # noqa: S105 - of people who exist for one run


class StoryFailed(Exception):
    """A check of the story does not hold; the message says which."""


@dataclass(slots=True)
class Api:
    """The gateway. Answers of 503 and broken connections are tried again, as a patient frontend does."""

    gateway_url: str
    http: HttpClient
    patience_seconds: float = 60.0

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        expect: tuple[int, ...] = (200, 201, 202, 204),
    ) -> Any:
        """The answer's JSON (None without a body).

        Raises: StoryFailed when the status is none of `expect`.
        """
        answer = await self.patiently(method, path, body, token=token, key=key)
        if answer.status not in expect:
            raise StoryFailed(f"{method} {path} answered {answer.status}: {answer.body.decode(errors='replace')[:500]}")
        return answer.json() if answer.body else None

    async def patiently(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, key: str | None = None
    ) -> HttpResponse:
        """The answer, whatever its status, once the network gives one.

        A POST with a token carries an Idempotency-Key, so that sending it again is safe.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if method == "POST" and token:
            headers["Idempotency-Key"] = key or str(uuid4())
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                answer = await self.http.send_json(method, self.gateway_url + path, body, headers)
                if answer.status != 503 and b'"idempotency_key_in_flight"' not in answer.body:
                    return answer
                problem = answer.body.decode(errors="replace")[:200]
            except HttpUnavailable as error:
                problem = str(error)
            if time.monotonic() > deadline:
                raise StoryFailed(f"{method} {path} got no answer within {self.patience_seconds:.0f} s: {problem}")
            await asyncio.sleep(0.2)


@dataclass(slots=True)
class Person:
    """A member of the network with a browser: signs up, logs in, signs with a wallet."""

    api: Api
    name: str
    roles: list[str]
    email: str = field(default_factory=lambda: f"{uuid4().hex}@example.com")
    wallet: LocalAccount = field(default_factory=Account.create)
    member: dict[str, Any] = field(default_factory=dict)
    _token: str = ""
    _token_until: float = 0.0

    @property
    def id(self) -> str:
        """The member id."""
        return str(self.member["id"])

    @property
    def referral_code(self) -> str:
        """What the people this member refers sign up with."""
        return str(self.member["referral_code"])

    async def register(self, *, referral_code: str | None = None) -> "Person":
        """Sign up and log in."""
        body = {"email": self.email, "password": PASSWORD, "display_name": self.name, "roles": self.roles}
        if referral_code:
            body["referral_code"] = referral_code
        answer = await self.api.patiently("POST", "/v1/members", body)
        if answer.status == 201:
            self.member = answer.json()
        elif answer.status == 409:  # the first try went through although its answer was lost
            await self.token()
            self.member = await self.get("/v1/members/me")
        else:
            raise StoryFailed(f"{self.name} could not register: {answer.status} {answer.body.decode()[:300]}")
        await self.token()
        return self

    async def token(self) -> str:
        """A fresh access token."""
        if time.monotonic() > self._token_until:
            body = {"email": self.email, "password": PASSWORD}
            session = await self.api.call("POST", "/v1/sessions", body)
            self._token = session["access_token"]
            self._token_until = time.monotonic() + session["expires_in"] / 2
        return self._token

    async def get(self, path: str) -> Any:
        """GET as this member."""
        return await self.api.call("GET", path, token=await self.token())

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """POST as this member."""
        return await self.api.call("POST", path, body, token=await self.token(), key=key)

    async def link_wallet(self) -> None:
        """Prove control of the wallet and be paid to it. Source: EIP-4361."""
        request = {"address": self.wallet.address, "purpose": "link"}
        challenge = await self.post("/v1/wallet-challenges", request)
        body = {"message": challenge["message"], "signature": self.sign_text(challenge["message"])}
        await self.post("/v1/members/me/wallets", body)
        token = await self.token()
        await self.api.call("PUT", "/v1/members/me/payout-wallet", {"address": self.wallet.address}, token=token)

    def sign_text(self, text: str) -> str:
        """The wallet's EIP-191 signature of a message."""
        return "0x" + self.wallet.sign_message(encode_defunct(text=text)).signature.hex().removeprefix("0x")

    def sign_typed(self, typed_data: dict[str, Any]) -> str:
        """The wallet's EIP-712 signature of what a frontend would pass to eth_signTypedData_v4."""
        signed = self.wallet.sign_message(encode_typed_data(full_message=typed_data))
        return "0x" + signed.signature.hex().removeprefix("0x")


async def eventually(what: str, check: Any, *, seconds: float = 60.0, every: float = 0.2) -> Any:
    """Call the async `check` until it gives something true; that value.

    Raises: StoryFailed naming `what` when it has not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        if value := await check():
            return value
        if time.monotonic() > deadline:
            raise StoryFailed(f"not so within {seconds:.0f} s: {what}")
        await asyncio.sleep(every)
