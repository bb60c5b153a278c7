"""The main job, played over HTTP through the gateway: from sign-up to minted BTRST, a ballot, a refund, an offset."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chassis.http import HttpClient
from chassis.money import WEI_PER_BTRST, format_usd
from scripts.api import Api, Person, StoryFailed, eventually

AMOUNT_CENTS = 100_000
REWARD_WEI = 20 * WEI_PER_BTRST
REFUND_CENTS = 25_000
CLAWBACK_WEI = 5 * WEI_PER_BTRST


def require(holds: bool, what: str) -> None:
    """Raises: StoryFailed naming `what` unless it holds."""
    if not holds:
        raise StoryFailed(what)


@dataclass(slots=True)
class Story:
    """One run: fresh people, one engagement, every figure checked to the wei."""

    api: Api
    rpc_url: str
    btrst: str
    say: Callable[[str], None]
    ada: Person = field(init=False)
    ben: Person = field(init=False)
    client: Person = field(init=False)
    talent: Person = field(init=False)
    engagement: dict[str, Any] = field(init=False)
    transaction: dict[str, Any] = field(init=False)
    rewards: list[dict[str, Any]] = field(init=False)

    async def play(self) -> None:
        """The whole story.

        Raises: StoryFailed at the first thing that is not as promised.
        """
        await self.people()
        await self.hire()
        self.transaction = await self.invoice_and_pay()
        await self.minted()
        await self.audited()
        await self.vote()
        await self.refund()
        await self.next_is_paid_less()

    async def people(self) -> None:
        """Step 1: two connectors with payout wallets, and the two members they referred."""
        self.ada = await Person(self.api, "Ada", ["connector"]).register()
        self.ben = await Person(self.api, "Ben", ["connector"]).register()
        for connector in (self.ada, self.ben):
            await connector.link_wallet()
        self.client = await Person(self.api, "Clio", ["client"]).register(
            referral_code=self.ada.member["referral_code"]
        )
        self.talent = await Person(self.api, "Tariq", ["talent"]).register(
            referral_code=self.ben.member["referral_code"]
        )
        require(self.client.member["referred_by"] == self.ada.id, "the client's connector is Ada")
        require(self.talent.member["referred_by"] == self.ben.id, "the Talent's connector is Ben")
        self.say("Ada and Ben (connectors) linked wallets; Ada referred Clio (client), Ben referred Tariq (Talent)")

    async def hire(self) -> None:
        """Step 2, first half: job, bid, offer, engagement."""
        body = {
            "title": "Build a settlement engine",
            "description": "Exact to the wei.",
            "skills": ["python", "solidity"],
            "kind": "fixed",
            "rate_min_cents": 50_000,
            "rate_max_cents": 200_000,
        }
        job = await self.client.post("/v1/jobs", body)
        await self.client.post(f"/v1/jobs/{job['id']}/publish")
        bid = await self.talent.post(
            f"/v1/jobs/{job['id']}/bids", {"rate_cents": AMOUNT_CENTS, "cover_letter": "Mine."}
        )
        offer = await self.client.post(f"/v1/bids/{bid['id']}/offers", {"message": "Welcome."})
        accepted = await self.talent.post(f"/v1/offers/{offer['id']}/accept")
        self.engagement = {"id": accepted["engagement_id"]}
        self.say("Clio posted a job, Tariq bid, Clio offered, Tariq accepted")

    async def invoice_and_pay(self, amount_cents: int = AMOUNT_CENTS) -> dict[str, Any]:
        """Step 2, second half: invoice, approval, payment; the completed transaction."""
        lines = {"lines": [{"description": "The engine", "amount_cents": amount_cents}]}
        invoice = await self.talent.post(f"/v1/engagements/{self.engagement['id']}/invoices", lines)
        seen = await self.client.get(f"/v1/invoices/{invoice['id']}")
        fee = amount_cents // 10
        figures = (seen["amount_cents"], seen["client_fee_cents"], seen["talent_fee_cents"], seen["total_cents"])
        require(figures == (amount_cents, fee, 0, amount_cents + fee), f"the invoice's figures are {figures}")
        await self.client.post(f"/v1/invoices/{invoice['id']}/approve")
        payment = await self.client.post(f"/v1/invoices/{invoice['id']}/payments", {"method": "sandbox"})
        require(payment["status"] == "succeeded", f"the payment's status is {payment['status']}")
        transaction: dict[str, Any] = await self.client.get(f"/v1/transactions/{payment['transaction_id']}")
        require(transaction["status"] == "completed", f"the transaction's status is {transaction['status']}")
        self.say(
            f"Tariq invoiced {format_usd(amount_cents)}; Clio paid {format_usd(amount_cents + fee)} "
            f"(10 % client fee, talent fee 0)"
        )
        return transaction

    async def reward_of(self, person: Person, transaction: dict[str, Any]) -> dict[str, Any] | None:
        """The minted reward of `person` for a transaction, once there is one."""
        page = await person.get("/v1/rewards?limit=100")
        for reward in page["items"]:
            if reward["transaction_id"] == transaction["id"] and reward["status"] == "minted":
                return dict(reward)
        return None

    async def minted(self) -> None:
        """Step 3 and the wallets of step 4: 20 BTRST each, in one chain tx, asked of the node itself."""
        self.rewards = []
        for person, side in ((self.ada, "client"), (self.ben, "talent")):
            reward = await eventually(
                f"{person.name}'s reward is minted", lambda person=person: self.reward_of(person, self.transaction)
            )
            require(reward["side"] == side, f"{person.name}'s reward is for the {side} side")
            require(int(reward["minted_wei"]) == REWARD_WEI, f"{person.name} was paid {reward['minted_wei']} wei")
            balance = await self.balance_of(person)
            require(balance == REWARD_WEI, f"{person.name}'s wallet holds {balance} wei")
            self.rewards.append(reward)
        hashes = {reward["chain_tx_hash"] for reward in self.rewards}
        require(len(hashes) == 1, "both rewards were settled in one chain tx")
        self.say("1 % to each connector at $0.50: 20 BTRST for Ada, 20 BTRST for Ben, minted in one chain tx")

    async def balance_of(self, person: Person) -> int:
        """What the node says `person`'s wallet holds, in wei."""
        data = "0x70a08231" + person.wallet.address.removeprefix("0x").lower().rjust(64, "0")
        answer = await self.rpc("eth_call", [{"to": self.btrst, "data": data}, "latest"])
        return int(answer, 16)

    async def rpc(self, method: str, params: list[Any]) -> str:
        """One call of the node."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self.api.http.post_json(self.rpc_url, call)).json()
        require("result" in answer, f"the node answered {answer}")
        return str(answer["result"])

    async def audited(self) -> None:
        """Step 4: the trace tells every step, and books and chain agree."""
        for person, reward in zip((self.ada, self.ben), self.rewards, strict=True):
            trace = await person.get(f"/v1/rewards/{reward['id']}/trace")
            require(len(trace["steps"]) >= 4, f"the trace of {person.name}'s reward has {len(trace['steps'])} steps")
        block = max(reward["block_number"] for reward in self.rewards)

        async def books_agree() -> bool:
            audit = await self.api.call("GET", "/v1/audit/supply")
            return bool(audit["as_of_block"] >= block and audit["difference_wei"] == "0")

        await eventually("ledger and chain agree at a final block", books_agree)
        self.say("Every step is in the trace; ledger and chain agree to the wei")

    async def vote(self) -> None:
        """Step 5: delegation without ether, a proposal, two signed ballots, the counted result."""
        for person in (self.ada, self.ben):
            await self.delegate(person)
        for person in (self.ada, self.ben):
            await eventually(f"{person.name} has votes", lambda person=person: self.votes_of(person))
        body = {
            "title": "Raise the connector reward",
            "body": "From 1 % to 1.5 % of each transaction.",
            "proposer": self.ada.wallet.address,
            "actions": [{"kind": "parameter", "name": "connector_reward_bps", "value": 150}],
        }
        proposal = await self.ada.post("/v1/proposals", body)
        await eventually("the ballot is open", lambda: self.has_status(proposal, "open"))
        for person, choice in ((self.ada, "for"), (self.ben, "against")):
            await self.cast(person, proposal, choice)
        await eventually("the ballot is closed", lambda: self.has_status(proposal, "passed", "rejected"))
        results = await self.api.call("GET", f"/v1/proposals/{proposal['id']}/results")
        weights = (int(results["for_wei"]), int(results["against_wei"]))
        require(weights == (REWARD_WEI, REWARD_WEI), f"the result's weights are {weights}")
        self.say("Both delegated (relayed, no ether), Ada proposed, Ada voted for, Ben against: 20 BTRST each way")

    async def delegate(self, person: Person) -> None:
        """`person` delegates to themselves by signature; the network pays the gas."""
        address = person.wallet.address
        path = f"/v1/delegations/typed-data?delegator={address}&delegatee={address}"
        typed = await self.api.call("GET", path)
        message = typed["message"]
        body = {
            "delegator": address,
            "delegatee": address,
            "nonce": message["nonce"],
            "expiry": message["expiry"],
            "signature": person.sign_typed(typed),
        }
        await self.api.call("POST", "/v1/delegations", body, expect=(202,))

    async def votes_of(self, person: Person) -> bool:
        """True once the indexed voting power is what the wallet holds."""
        power = await self.api.call("GET", f"/v1/voting-power/{person.wallet.address}")
        return int(power["votes_wei"]) == REWARD_WEI

    async def has_status(self, proposal: dict[str, Any], *statuses: str) -> bool:
        """True once the proposal has one of the statuses."""
        seen = await self.api.call("GET", f"/v1/proposals/{proposal['id']}")
        return str(seen["status"]) in statuses

    async def cast(self, person: Person, proposal: dict[str, Any], choice: str) -> None:
        """`person` signs the ballot that the network gives out, unchanged."""
        path = f"/v1/proposals/{proposal['id']}/ballot?voter={person.wallet.address}&choice={choice}"
        ballot = await self.api.call("GET", path)
        body = {
            "voter": person.wallet.address,
            "choice": choice,
            "reason": ballot["message"]["reason"],
            "signature": person.sign_typed(ballot),
        }
        vote = await self.api.call("POST", f"/v1/proposals/{proposal['id']}/votes", body)
        require(int(vote["weight_wei"]) == REWARD_WEI, f"{person.name}'s weight is {vote['weight_wei']} wei")

    async def refund(self) -> None:
        """Step 6, first half: a quarter goes back; the supply stays, the ledger shows a negative line."""
        body = {"amount_cents": REFUND_CENTS, "reason": "A quarter was not delivered."}
        await self.talent.post(f"/v1/transactions/{self.transaction['id']}/refunds", body)
        for person in (self.ada, self.ben):
            await eventually(f"{person.name}'s refund line", lambda person=person: self.has_refund_line(person))
            balance = await self.balance_of(person)
            require(balance == REWARD_WEI, f"{person.name}'s wallet holds {balance} wei after the refund")
        self.say(f"Tariq refunded {format_usd(REFUND_CENTS)}: supply unchanged, −5 BTRST on each connector's ledger")

    async def has_refund_line(self, person: Person) -> bool:
        """True once the ledger has the refund's line, of exactly −5 BTRST."""
        lines = await person.get("/v1/rewards/ledger?limit=100")
        refunds = [int(line["amount_wei"]) for line in lines["items"] if line["code"] == "refund"]
        return refunds == [-CLAWBACK_WEI]

    async def next_is_paid_less(self) -> None:
        """Step 6, second half: the next transaction's rewards are paid less what the refund took back."""
        following = await self.invoice_and_pay()
        for person in (self.ada, self.ben):
            reward = await eventually(
                f"{person.name}'s next reward is minted", lambda person=person: self.reward_of(person, following)
            )
            paid = (int(reward["amount_wei"]), int(reward["offset_wei"]), int(reward["minted_wei"]))
            require(paid == (REWARD_WEI, CLAWBACK_WEI, REWARD_WEI - CLAWBACK_WEI), f"{person.name} was paid {paid}")
            balance = await self.balance_of(person)
            require(balance == 2 * REWARD_WEI - CLAWBACK_WEI, f"{person.name}'s wallet holds {balance} wei")
        self.say("The next transaction earned 20 BTRST each and paid 15: the refund was set off")


async def difference_wei(api: Api, block: int) -> int:
    """Ledger minus chain once the audit covers `block`; 0 when all is well."""

    async def covered() -> Any:
        audit = await api.call("GET", "/v1/audit/supply")
        return audit if audit["as_of_block"] >= block and audit["difference_wei"] == "0" else None

    audit = await eventually("ledger and chain agree at a final block", covered)
    return int(audit["difference_wei"])


async def play(gateway_url: str, rpc_url: str, btrst: str, say: Callable[[str], None]) -> tuple[Story, float]:
    """Play one story; it, and how many seconds it took."""
    started = time.monotonic()
    async with HttpClient(timeout_seconds=20.0) as http:
        story = Story(Api(gateway_url, http), rpc_url, btrst, say)
        await story.play()
    return story, time.monotonic() - started
