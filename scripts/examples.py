"""`make examples`: plays the story and keeps what the network said as the examples of the OpenAPI document.

Writes `gateway/examples.json`: operation id → status → the body of an answer. Every one was really given by a running
network; only what is a secret, and the addresses of people who exist for one run, is replaced.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from chassis.http import HttpClient, HttpResponse
from gateway.table import RouteTable, operations_of
from scripts.api import PASSWORD, Api, Person
from scripts.dev import stack_from_environment
from scripts.openapi import EXAMPLES, GOLDEN
from scripts.story import Story

LONGEST_PAGE = 2
TOKENS = {"access_token": "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl", "refresh_token": "opaque-refresh-token"}
NOT_CALLED = {"create_onchain_vote", "stream_own_events"}

Body = Any


@dataclass(slots=True)
class Recorder(Api):
    """The gateway, with the last good answer of each operation kept."""

    ids: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Operation ids by method and path template."""

    table: RouteTable = field(default_factory=lambda: RouteTable(()))
    kept: dict[str, dict[str, Body]] = field(default_factory=dict)

    async def patiently(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, key: str | None = None
    ) -> HttpResponse:
        """As `Api.patiently`."""
        answer = await Api.patiently(self, method, path, body, token=token, key=key)
        found = self.table.find(path.partition("?")[0].encode())
        if answer.status < 300 and answer.body and found and method in found:
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            body = answer.json() if is_json else answer.body.decode()
            self.keep(self.ids[method.lower(), found[method].path], answer.status, body)
        return answer

    def keep(self, operation_id: str, status: int, body: Body) -> None:
        """Keep an answer; an empty page is no better than what is known."""
        known = self.kept.setdefault(operation_id, {})
        if isinstance(body, dict) and isinstance(body.get("items"), list):
            if not body["items"] and str(status) in known:
                return
            body = {**body, "items": body["items"][:LONGEST_PAGE]}
        known[str(status)] = body


class Recorded(Story):
    """The story, with each ballot sent twice: the second answer is a 200."""

    async def cast(self, person: Person, proposal: dict[str, Any], choice: str) -> None:
        """As in the story, and again."""
        for _ in range(2):
            await super().cast(person, proposal, choice)


@dataclass(slots=True)
class Rest:
    """What the story does not need: the other changes, and everything that can be read."""

    api: Recorder
    story: Story
    admin: Mapping[str, str]
    """What the administrator logs in with."""

    async def play(self) -> None:
        """Do it all. Raises: StoryFailed."""
        session = await self.api.call("POST", "/v1/sessions", dict(self.admin))
        await self._as_members()
        await self._as_parties()
        await self._as_administrator(session["access_token"])
        await self._read(session["access_token"])
        await self.api.call(
            "POST", f"/v1/engagements/{self.story.engagement['id']}/end", token=await self.story.client.token()
        )

    async def _as_members(self) -> None:
        ada, api = self.story.ada, self.api
        token = await ada.token()
        await api.call("PATCH", "/v1/members/me", {"display_name": "Ada L."}, token=token)
        await api.call("PATCH", "/v1/members/me", {"display_name": "Ada"}, token=token)
        session = await api.call("POST", "/v1/sessions", {"email": ada.email, "password": PASSWORD})
        await api.call("POST", "/v1/sessions/refresh", {"refresh_token": session["refresh_token"]})
        asked = {"address": ada.wallet.address, "purpose": "sign_in"}
        message = (await api.call("POST", "/v1/wallet-challenges", asked))["message"]
        await api.call("POST", "/v1/sessions/wallet", {"message": message, "signature": ada.sign_text(message)})

    async def _as_parties(self) -> None:
        """A job that leads nowhere: a bid and two offers taken back or declined, an invoice rejected."""
        client, talent = self.story.client, self.story.talent
        terms = {
            "title": "Audit the contracts",
            "description": "Line by line.",
            "skills": ["solidity"],
            "kind": "fixed",
        }
        job = await client.post("/v1/jobs", {**terms, "rate_min_cents": 100_000, "rate_max_cents": 300_000})
        path = f"/v1/jobs/{job['id']}"
        await self.api.call("PATCH", path, {"title": "Audit the contracts twice"}, token=await client.token())
        await client.post(f"{path}/publish")
        bid = await talent.post(
            f"{path}/bids", {"rate_cents": 200_000, "cover_letter": "I read Solidity for breakfast."}
        )
        for person, ending in ((client, "withdraw"), (talent, "decline")):
            offer = await client.post(f"/v1/bids/{bid['id']}/offers", {"message": "Please."})
            await person.post(f"/v1/offers/{offer['id']}/{ending}")
        await talent.post(f"/v1/bids/{bid['id']}/withdraw")
        await client.post(f"{path}/close")
        lines = {"lines": [{"description": "Another engine", "amount_cents": 50_000}]}
        invoice = await talent.post(f"/v1/engagements/{self.story.engagement['id']}/invoices", lines)
        await client.post(f"/v1/invoices/{invoice['id']}/reject", {"reason": "We agreed on one engine."})

    async def _as_administrator(self, token: str) -> None:
        sam = await Person(self.api, "Sam", ["talent"], email="sam@example.com").register()
        path = f"/v1/members/{sam.id}"
        await self.api.call("PUT", f"{path}/roles", {"roles": ["talent", "screener"]}, token=token)
        for change in ("suspend", "reinstate"):
            await self.api.call("POST", f"{path}/{change}", token=token)

    async def _read(self, admin: str) -> None:
        """Everything with a GET, as whoever sees something there."""
        people = [self.story.ada, self.story.ben, self.story.client, self.story.talent]
        tokens = [*[await person.token() for person in people], admin]
        for (method, path), operation_id in self.api.ids.items():
            if method == "get" and operation_id not in NOT_CALLED:
                for token in tokens:
                    if self._is_shown(operation_id):
                        break
                    await self.api.patiently("GET", self._filled(path), token=token)
        self.api.kept["stream_own_events"] = {"200": await self._frames(tokens[0])}

    def _is_shown(self, operation_id: str) -> bool:
        body = self.api.kept.get(operation_id, {}).get("200")
        return body is not None and not (isinstance(body, dict) and body.get("items") == [])

    def _filled(self, path: str) -> str:
        kept, story = self.api.kept, self.story
        made = {
            "job_id": "create_job", "bid_id": "place_bid", "offer_id": "make_offer", "invoice_id": "submit_invoice",
            "payment_id": "pay_invoice", "refund_id": "refund_transaction", "proposal_id": "create_proposal",
            "wallet_id": "link_wallet", "challenge_id": "create_wallet_challenge",
        }  # fmt: skip
        values = {name: kept[operation_id]["201"]["id"] for name, operation_id in made.items()} | {
            "address": story.ada.wallet.address, "engagement_id": story.engagement["id"], "member_id": story.ada.id,
            "reward_id": story.rewards[0]["id"], "transaction_id": story.transaction["id"],
            "epoch_number": "1",
        }  # fmt: skip
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)

    async def _frames(self, token: str) -> str:
        """The first event of a member's stream, as it is on the wire."""
        headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": "0"}
        text = ""
        async with (
            httpx.AsyncClient(base_url=self.api.gateway_url, timeout=20) as client,
            client.stream("GET", "/v1/stream", headers=headers) as answer,
        ):
            async for part in answer.aiter_text():
                text += part
                blocks = [
                    block for block in text.split("\n\n")[:-1] if "data:" in block and "event: ready" not in block
                ]
                if blocks:
                    return blocks[0] + "\n\n"
        raise RuntimeError(f"the stream ended after {text!r}")


def cleaned(node: Any, emails: Mapping[str, str]) -> Any:
    """An answer without secrets, and with addresses to read."""
    if isinstance(node, dict):
        return {key: TOKENS.get(key) or cleaned(value, emails) for key, value in node.items()}
    if isinstance(node, list):
        return [cleaned(value, emails) for value in node]
    return emails.get(node, node) if isinstance(node, str) else node


async def record(gateway_url: str, endpoints: Mapping[str, Any]) -> dict[str, dict[str, Body]]:
    """The examples of a running network, by operation id and status. Raises: StoryFailed."""
    document = json.loads(GOLDEN.read_bytes())
    ids = {
        (method, path): operation["operationId"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    async with HttpClient(timeout_seconds=20.0) as http:
        api = Recorder(gateway_url, http, ids=ids, table=RouteTable(operations_of(document)))
        story = Recorded(api, endpoints["rpc"], endpoints["contracts"]["btrst"], lambda text: print(f"  {text}"))
        await story.play()
        await Rest(api, story, endpoints["admin"]).play()
    people = (story.ada, story.ben, story.client, story.talent)
    emails = {person.email: f"{person.name.lower()}@example.com" for person in people}
    return {name: cleaned(api.kept[name], emails) for name in sorted(api.kept)}


async def _main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    stack = stack_from_environment(console)
    started = time.monotonic()
    try:
        await stack.start()
        supervision = asyncio.create_task(stack.supervise())
        found = await record(stack.gateway_url, json.loads(stack.endpoints_path.read_bytes()))
        supervision.cancel()
    finally:
        await stack.stop()
    EXAMPLES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    console.print(f"examples of {len(found)} operations in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
