"""A group of members who work together: who they are, what they made, and what nobody else may learn of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from eth_account import Account
from eth_account.messages import encode_defunct

from scripts.api import Api, Person, eventually
from tests.e2e.owner.model import Resource, Secret, Sent

AMOUNT_CENTS = 100_000
JOBS = ("hired", "ending", "offer 1", "offer 2", "offer 3", "bid 1", "bid 2")
"""Published jobs, each with a bid of the Talent, by what becomes of it."""


@dataclass(slots=True)
class RecordingApi(Api):
    """The gateway; remembers what was sent with an Idempotency-Key."""

    posted: list[tuple[str, Sent]] = field(default_factory=list)

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
        """As without the memory."""
        key = key or (str(uuid4()) if method == "POST" and token else None)
        answer = await Api.call(self, method, path, body, token=token, key=key, expect=expect)
        if key and token:
            self.posted.append((token, Sent(method, path, body, token, key)))
        return answer


@dataclass(slots=True)
class Group:
    """Two connectors, the client and the Talent they brought, a Talent who was not chosen, and two bystanders."""

    api: RecordingApi
    letter: str
    people: dict[str, Person] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    engagements: dict[str, str] = field(default_factory=dict)
    transaction: dict[str, Any] = field(default_factory=dict)
    challenges: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: int = 0

    def __getattr__(self, name: str) -> Person:
        """The person of this name."""
        try:
            return self.people[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def secret(self, about: str, readers: Iterable[Person | str]) -> str:
        """A new text that only these people may find anywhere."""
        text = f"zq{self.letter}{about}{uuid4().hex[:12]}"
        self.keep(text, readers)
        return text

    def keep(self, value: str | int, readers: Iterable[Person | str]) -> None:
        """Make a text or number a secret of these people."""
        ids = {reader if isinstance(reader, str) else reader.id for reader in readers}
        self.secrets.append(Secret(value, frozenset(ids)))

    def amount(self, readers: Iterable[Person | str]) -> int:
        """A rate that nobody else may find anywhere, in cents."""
        self.numbers += 1
        cents = (1_870_000 if self.letter == "a" else 2_930_000) + self.numbers * 17
        self.keep(cents, readers)
        return cents

    def has(
        self,
        kind: str,
        found: dict[str, Any],
        sides: dict[str, Person],
        *,
        also: Iterable[str] = (),
        everybody: bool = False,
        state: str = "",
    ) -> dict[str, Any]:
        """Note what belongs to these sides; its id is theirs too, unless everybody sees it."""
        ids = {side: person.id for side, person in sides.items()}
        readers = None if everybody else frozenset({*ids.values(), *also})
        state = state or str(found.get("status", ""))
        self.resources.append(Resource(kind, str(found["id"]), ids, readers, state))
        return found

    async def play(self, admin_id: str) -> None:
        """Everything up to the refund; rewards are on their way then."""
        await self._join(admin_id)
        await self._wallets()
        await self._post_jobs()
        await self._hire()
        await self._bill(admin_id)

    async def _join(self, admin_id: str) -> None:
        for name, roles, code_of in (
            ("ada", ["connector"], None),
            ("ben", ["connector"], None),
            ("client", ["client"], "ada"),
            ("talent", ["talent"], "ben"),
            ("rival", ["talent"], "ada"),
            ("spare", ["talent"], None),
        ):
            email = f"zq{self.letter}mail{uuid4().hex}@example.com"
            person = Person(self.api, f"{name.title()} {self.letter}", roles, email=email)
            self.people[name] = person
            await person.register(referral_code=self.people[code_of].referral_code if code_of else None)
            self.has("member_id", person.member, {"owner": person}, everybody=True, state="active")
            self.keep(email, [person, admin_id])
            self.keep(person.referral_code, [person, admin_id])
            self.keep(await person.token(), [person])

    async def _wallets(self) -> None:
        for person in (self.ada, self.ben):
            await person.link_wallet()
        second = Account.create()
        linked = await self._link(self.ada, second)
        self.keep(second.address, [self.ada])
        for wallet in (await self.ada.get("/v1/members/me/wallets"))["items"]:
            self.has("wallet_id", wallet, {"owner": self.ada})
            self.keep(wallet["id"], [self.ada])
        assert linked["address"] == second.address
        open_to_all = await self.api.call(
            "POST", "/v1/wallet-challenges", {"address": Account.create().address, "purpose": "sign_in"}
        )
        self.has("challenge_id", open_to_all, {}, everybody=True, state="sign_in")
        self.challenges["ada"] = await self.challenge(self.ada, Account.create())

    async def challenge(self, person: Person, wallet: Any) -> dict[str, Any]:
        """A signed link challenge that was not used: the body that would link the wallet."""
        asked = await person.post("/v1/wallet-challenges", {"address": wallet.address, "purpose": "link"})
        self.has("challenge_id", asked, {"owner": person}, state="link")
        self.keep(asked["id"], [person])
        self.keep(wallet.address, [person])
        signed = wallet.sign_message(encode_defunct(text=asked["message"]))
        return {"message": asked["message"], "signature": "0x" + signed.signature.hex().removeprefix("0x")}

    async def _link(self, person: Person, wallet: Any) -> dict[str, Any]:
        body = await self.challenge(person, wallet)
        linked: dict[str, Any] = await person.post("/v1/members/me/wallets", body)
        return linked

    async def _post_jobs(self) -> None:
        for name in (*JOBS, "free 1", "free 2"):
            job = await self.client.post("/v1/jobs", self._job(f"Open to all {name}"))
            self.jobs[name] = await self.client.post(f"/v1/jobs/{job['id']}/publish")
            self.has("job_id", self.jobs[name], {"client": self.client}, everybody=True)
        for _ in range(2):
            job = await self.client.post("/v1/jobs", self._job(self.secret("draft", [self.client])))
            self.has("job_id", job, {"client": self.client})
            self.keep(job["id"], [self.client])
        job = await self.client.post("/v1/jobs", self._job(self.secret("closed", [self.client])))
        await self.client.post(f"/v1/jobs/{job['id']}/publish")
        closed = await self.client.post(f"/v1/jobs/{job['id']}/close")
        self.has("job_id", closed, {"client": self.client})

    def _job(self, title: str) -> dict[str, Any]:
        return {
            "title": title,
            "description": title,
            "skills": ["python"],
            "kind": "fixed",
            "rate_min_cents": 1_000,
            "rate_max_cents": 200_000,
        }

    async def _bid(self, person: Person, job: dict[str, Any]) -> dict[str, Any]:
        readers = [person, self.client]
        body = {"rate_cents": self.amount(readers), "cover_letter": self.secret("letter", readers)}
        bid: dict[str, Any] = await person.post(f"/v1/jobs/{job['id']}/bids", body)
        self.keep(bid["id"], readers)
        return self.has("bid_id", bid, {"client": self.client, "talent": person})

    async def _offer(self, name: str, bid: dict[str, Any]) -> dict[str, Any]:
        parties = [self.client, self.talent]
        body = {"rate_cents": self.amount(parties), "message": self.secret("message", parties)}
        offer: dict[str, Any] = await self.client.post(f"/v1/bids/{bid['id']}/offers", body)
        self.keep(offer["id"], parties)
        return self.has("offer_id", offer, {"client": self.client, "talent": self.talent}, state=name)

    async def _hire(self) -> None:
        await self._bid(self.rival, self.jobs["hired"])
        for name in JOBS:
            bid = await self._bid(self.talent, self.jobs[name])
            if name.startswith("bid"):
                continue
            offer = await self._offer(name, bid)
            if not name.startswith("offer"):
                accepted = await self.talent.post(f"/v1/offers/{offer['id']}/accept")
                found = {"id": accepted["engagement_id"]}
                self.engagements[name] = accepted["engagement_id"]
                self.has("engagement_id", found, {"client": self.client, "talent": self.talent}, state="active")

    async def _invoice(self, *, admin_id: str) -> dict[str, Any]:
        parties = [self.client, self.talent]
        line = {"description": self.secret("line", parties), "amount_cents": AMOUNT_CENTS}
        path = f"/v1/engagements/{self.engagements['hired']}/invoices"
        invoice: dict[str, Any] = await self.talent.post(path, {"lines": [line]})
        # a transaction names its invoice, and so does a reward's trace: every wei is traced to one
        self.keep(invoice["id"], [*parties, self.ada, self.ben, admin_id])
        return invoice

    async def _bill(self, admin_id: str) -> None:
        sides = {"client": self.client, "talent": self.talent}
        self.keep(self.engagements["hired"], [*sides.values(), self.ada, self.ben, admin_id])
        self.keep(self.engagements["ending"], [*sides.values()])
        for state in ("submitted", "submitted", "approved", "rejected", "paid", "paid"):
            invoice = await self._invoice(admin_id=admin_id)
            self.has("invoice_id", invoice, sides, state=state)
            at = f"/v1/invoices/{invoice['id']}"
            if state == "rejected":
                await self.client.post(f"{at}/reject", {"reason": self.secret("reason", sides.values())})
            elif state != "submitted":
                await self.client.post(f"{at}/approve")
            if state == "paid":
                payment = await self.client.post(f"{at}/payments", {"method": "sandbox"})
                self.has("payment_id", payment, sides)
                self.keep(payment["id"], sides.values())
                at = f"/v1/transactions/{payment['transaction_id']}"
                self.transaction = await self.client.get(at)
                self.has("transaction_id", self.transaction, sides, also=[admin_id])

    async def minted(self, admin_id: str) -> None:
        """Wait until the rewards are on chain, then refund a part and wait until it is booked."""
        for person in (self.ada, self.ben):
            await eventually(f"{person.name}'s rewards are minted", lambda person=person: self._minted(person))
        why = self.secret("refund", [self.client, self.talent, admin_id])
        path = f"/v1/transactions/{self.transaction['id']}/refunds"
        refund = await self.talent.post(path, {"amount_cents": AMOUNT_CENTS // 4, "reason": why})
        self.has("refund_id", refund, {"client": self.client, "talent": self.talent}, also=[admin_id])
        self.keep(refund["id"], [self.client, self.talent, admin_id])
        for person in (self.ada, self.ben):
            await eventually(f"{person.name}'s refund line", lambda person=person: self._has_refund_line(person))
            for reward in (await person.get("/v1/rewards"))["items"]:
                self.has("reward_id", reward, {"owner": person}, also=[admin_id])
                self.keep(reward["id"], [person, admin_id])

    async def _minted(self, person: Person) -> bool:
        return len((await person.get("/v1/rewards?status=minted"))["items"]) == 2

    async def _has_refund_line(self, person: Person) -> bool:
        lines = await person.get("/v1/rewards/ledger")
        return any(line["code"] == "refund" for line in lines["items"])
