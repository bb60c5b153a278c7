"""The main job, played through the generated client alone: `python story.py GATEWAY RPC TOKEN`.

It prints one line of JSON with what came out, in wei, and fails at the first thing that is not as promised.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import httpx
from btrst_client import AuthenticatedClient, Client
from btrst_client.api.bids import place_bid
from btrst_client.api.engagements import end_engagement
from btrst_client.api.governance import (
    create_delegation,
    create_proposal,
    create_vote,
    get_ballot,
    get_delegation_typed_data,
    get_proposal,
    get_proposal_results,
    get_voting_power,
)
from btrst_client.api.invoices import approve_invoice, get_invoice, pay_invoice, submit_invoice
from btrst_client.api.jobs import create_job, publish_job
from btrst_client.api.members import register_member
from btrst_client.api.offers import accept_offer, make_offer
from btrst_client.api.rewards import list_ledger_lines, list_rewards, trace_reward
from btrst_client.api.sessions import create_session
from btrst_client.api.token import audit_supply
from btrst_client.api.transactions import get_transaction, refund_transaction
from btrst_client.api.wallets import create_wallet_challenge, link_wallet, set_payout_wallet
from btrst_client.models import (
    BidCreate,
    ChallengeCreate,
    ChallengeCreatePurpose,
    DelegationCreate,
    GetBallotChoice,
    InvoiceCreate,
    InvoiceLine,
    JobCreate,
    JobCreateKind,
    LedgerLineReadCode,
    MemberCreate,
    MemberCreateRolesItem,
    OfferCreate,
    ParameterAction,
    PaymentCreate,
    PayoutWalletUpdate,
    Problem,
    ProposalCreate,
    ProposalReadStatus,
    RefundCreate,
    RewardRead,
    RewardReadStatus,
    SessionCreate,
    SignedMessage,
    TransactionRead,
    TypedData,
    VoteCreate,
    VoteCreateChoice,
)
from btrst_client.types import UNSET, Response
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

T = TypeVar("T")

AMOUNT_CENTS, REFUND_CENTS = 100_000, 25_000
REWARD_WEI, CLAWBACK_WEI = 20 * 10**18, 5 * 10**18
PASSWORD = "correct horse battery staple"  # noqa: S105 - of people who exist for one run

GATEWAY, RPC, TOKEN = sys.argv[1:4]


class Refused(Exception):
    """The network's problem document."""

    def __init__(self, status: int, problem: Problem | None) -> None:
        super().__init__(f"{status}: {problem}")
        self.status = status
        self.problem = problem


def answer_of(response: "Response[T | Problem]") -> T:
    """What a call gave. Raises: Refused."""
    parsed = response.parsed
    if parsed is None or isinstance(parsed, Problem):
        raise Refused(response.status_code, parsed)
    return parsed


def require(holds: bool, what: str) -> None:
    """Raises: AssertionError naming `what` unless it holds."""
    if not holds:
        raise AssertionError(f"not as promised: {what}")


def eventually(what: str, check: Callable[[], T | None]) -> T:
    """What `check` gives once it is true. Raises: AssertionError after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := check():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not so within 60 s: {what}")


PUBLIC = Client(base_url=GATEWAY, timeout=httpx.Timeout(20))


class Person:
    """A member with a wallet, signed up and logged in."""

    def __init__(self, name: str, role: str, code: str | None = None) -> None:
        self.name, email = name, f"{uuid4().hex}@example.com"
        roles = [MemberCreateRolesItem(role)]
        body = MemberCreate(email=email, password=PASSWORD, display_name=name, roles=roles, referral_code=code or UNSET)
        self.member = answer_of(register_member.sync_detailed(client=PUBLIC, body=body))
        login = SessionCreate(email=email, password=PASSWORD)
        session = answer_of(create_session.sync_detailed(client=PUBLIC, body=login))
        self.api = AuthenticatedClient(base_url=GATEWAY, token=session.access_token, timeout=httpx.Timeout(20))
        self.wallet = Account.create()

    def link_wallet(self) -> None:
        """Prove control of the wallet and be paid to it. Source: EIP-4361."""
        address = self.wallet.address
        wanted = ChallengeCreate(address=address, purpose=ChallengeCreatePurpose.LINK)
        challenge = answer_of(create_wallet_challenge.sync_detailed(client=self.api, body=wanted))
        signed = self.wallet.sign_message(encode_defunct(text=challenge.message)).signature.to_0x_hex()
        proof = SignedMessage(message=challenge.message, signature=signed)
        answer_of(link_wallet.sync_detailed(client=self.api, body=proof))
        answer_of(set_payout_wallet.sync_detailed(client=self.api, body=PayoutWalletUpdate(address=address)))

    def sign(self, typed: TypedData) -> str:
        """The EIP-712 signature of what the network gives out, unchanged."""
        signature: str = self.wallet.sign_message(encode_typed_data(full_message=typed.to_dict())).signature.to_0x_hex()
        return signature

    def balance_wei(self) -> int:
        """What the node says the wallet holds."""
        data = "0x70a08231" + self.wallet.address[2:].lower().rjust(64, "0")
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": TOKEN, "data": data}, "latest"]}
        return int(httpx.post(RPC, json=call).json()["result"], 16)


def hire(client: Person, talent: Person) -> UUID:
    """From the job to the engagement."""
    wanted = JobCreate(
        title="Build a settlement engine",
        description="Exact to the wei.",
        skills=["python", "solidity"],
        kind=JobCreateKind.FIXED,
        rate_min_cents=50_000,
        rate_max_cents=200_000,
    )
    job = answer_of(create_job.sync_detailed(client=client.api, body=wanted))
    answer_of(publish_job.sync_detailed(job.id, client=client.api))
    mine = BidCreate(rate_cents=AMOUNT_CENTS, cover_letter="Mine.")
    bid = answer_of(place_bid.sync_detailed(job.id, client=talent.api, body=mine))
    offer = answer_of(make_offer.sync_detailed(bid.id, client=client.api, body=OfferCreate(message="Welcome.")))
    accepted = answer_of(accept_offer.sync_detailed(offer.id, client=talent.api))
    require(isinstance(accepted.engagement_id, UUID), "the accepted offer is an engagement")
    assert isinstance(accepted.engagement_id, UUID)
    return accepted.engagement_id


def invoice_and_pay(client: Person, talent: Person, engagement: UUID) -> TransactionRead:
    """From the invoice to the completed transaction."""
    lines = InvoiceCreate(lines=[InvoiceLine(description="The engine", amount_cents=AMOUNT_CENTS)])
    invoice = answer_of(submit_invoice.sync_detailed(engagement, client=talent.api, body=lines))
    seen = answer_of(get_invoice.sync_detailed(invoice.id, client=client.api))
    figures = (seen.amount_cents, seen.client_fee_cents, seen.talent_fee_cents, seen.total_cents)
    require(figures == (AMOUNT_CENTS, AMOUNT_CENTS // 10, 0, AMOUNT_CENTS * 11 // 10), f"the invoice says {figures}")
    answer_of(approve_invoice.sync_detailed(invoice.id, client=client.api))
    payment = answer_of(
        pay_invoice.sync_detailed(
            invoice.id, client=client.api, body=PaymentCreate(method="sandbox"), idempotency_key=str(uuid4())
        )
    )
    require(payment.status == "succeeded", f"the payment is {payment.status}")
    assert isinstance(payment.transaction_id, UUID)
    return answer_of(get_transaction.sync_detailed(payment.transaction_id, client=client.api))


def minted_reward(person: Person, transaction: TransactionRead) -> RewardRead:
    """The connector's reward for it, once it is minted."""

    def find() -> RewardRead | None:
        page = answer_of(list_rewards.sync_detailed(client=person.api, limit=100))
        minted = (one for one in page.items if one.status == RewardReadStatus.MINTED)
        return next((one for one in minted if one.transaction_id == transaction.id), None)

    return eventually(f"{person.name}'s reward is minted", find)


def books_agree(block: int) -> str:
    """The difference between ledger and chain at a final block from `block` on."""

    def find() -> str | None:
        audit = answer_of(audit_supply.sync_detailed(client=PUBLIC))
        covers = isinstance(audit.as_of_block, int) and audit.as_of_block >= block
        return audit.difference_wei if covers and audit.difference_wei == "0" else None

    return eventually("ledger and chain agree at a final block", find)


def delegate(person: Person) -> None:
    """To themselves, by signature; the network pays the gas."""
    address = person.wallet.address
    typed = answer_of(get_delegation_typed_data.sync_detailed(client=PUBLIC, delegator=address, delegatee=address))
    body = DelegationCreate(
        delegator=address,
        delegatee=address,
        nonce=typed.message["nonce"],
        expiry=typed.message["expiry"],
        signature=person.sign(typed),
    )
    answer_of(create_delegation.sync_detailed(client=PUBLIC, body=body))

    def has_votes() -> bool:
        return int(answer_of(get_voting_power.sync_detailed(address, client=PUBLIC)).votes_wei) == REWARD_WEI

    eventually(f"{person.name} has votes", has_votes)


def vote(ada: Person, ben: Person) -> tuple[str, str]:
    """A proposal, two signed ballots, the counted result: weights for and against, in wei."""
    delegate(ada)
    delegate(ben)
    wanted = ProposalCreate(
        title="Raise the connector reward",
        body="From 1 % to 1.5 % of each transaction.",
        proposer=ada.wallet.address,
        actions=[ParameterAction(kind="parameter", name="connector_reward_bps", value=150)],
    )
    proposal = answer_of(create_proposal.sync_detailed(client=ada.api, body=wanted))

    def status() -> ProposalReadStatus:
        return answer_of(get_proposal.sync_detailed(proposal.id, client=PUBLIC)).status

    eventually("the ballot is open", lambda: status() == ProposalReadStatus.OPEN)
    for person, choice in ((ada, "for"), (ben, "against")):
        voter = person.wallet.address
        given = get_ballot.sync_detailed(proposal.id, client=PUBLIC, voter=voter, choice=GetBallotChoice(choice))
        ballot = answer_of(given)
        signed = VoteCreate(
            voter=voter,
            choice=VoteCreateChoice(choice),
            reason=ballot.message["reason"],
            signature=person.sign(ballot),
        )
        cast = answer_of(create_vote.sync_detailed(proposal.id, client=PUBLIC, body=signed))
        require(int(cast.weight_wei) == REWARD_WEI, f"{person.name}'s weight is {cast.weight_wei}")
    eventually("the ballot is closed", lambda: status() in {ProposalReadStatus.PASSED, ProposalReadStatus.REJECTED})
    results = answer_of(get_proposal_results.sync_detailed(proposal.id, client=PUBLIC))
    return results.for_wei, results.against_wei


def refund(talent: Person, connectors: list[Person], transaction: TransactionRead) -> None:
    """A quarter goes back, and shows as a negative line of each connector's ledger."""
    body = RefundCreate(amount_cents=REFUND_CENTS, reason="A quarter was not delivered.")
    answer_of(
        refund_transaction.sync_detailed(transaction.id, client=talent.api, body=body, idempotency_key=str(uuid4()))
    )

    def has_line(person: Person) -> bool:
        page = answer_of(list_ledger_lines.sync_detailed(client=person.api, limit=100))
        refunds = [int(line.amount_wei) for line in page.items if line.code == LedgerLineReadCode.REFUND]
        return refunds == [-CLAWBACK_WEI]

    for person in connectors:
        eventually(f"{person.name}'s refund line", partial(has_line, person))


def refusals_are_typed(stranger: Person, transaction: TransactionRead, engagement: UUID) -> None:
    """Who has no business with it gets a problem document."""
    for refused in (
        get_transaction.sync_detailed(transaction.id, client=stranger.api),
        end_engagement.sync_detailed(engagement, client=stranger.api),
    ):
        problem = refused.parsed
        require(isinstance(problem, Problem) and problem.code == "not_found", f"a stranger got {refused}")


def play() -> dict[str, object]:
    """The whole story."""
    ada, ben = Person("Ada", "connector"), Person("Ben", "connector")
    client = Person("Clio", "client", ada.member.referral_code)
    talent = Person("Tariq", "talent", ben.member.referral_code)
    ada.link_wallet()
    ben.link_wallet()
    engagement = hire(client, talent)
    transaction = invoice_and_pay(client, talent, engagement)
    blocks = []
    for person in (ada, ben):
        reward = minted_reward(person, transaction)
        trace = answer_of(trace_reward.sync_detailed(reward.id, client=person.api))
        require(len(trace.steps) >= 4, f"the trace has {len(trace.steps)} steps")
        require(person.balance_wei() == REWARD_WEI, f"{person.name}'s wallet holds 20 BTRST")
        assert isinstance(reward.block_number, int)
        blocks.append(reward.block_number)
    difference_wei = books_agree(max(blocks))
    refusals_are_typed(ben, transaction, engagement)
    for_wei, against_wei = vote(ada, ben)
    refund(talent, [ada, ben], transaction)
    following = invoice_and_pay(client, talent, engagement)
    for person in (ada, ben):
        reward = minted_reward(person, following)
        require(int(reward.minted_wei) == REWARD_WEI - CLAWBACK_WEI, f"{person.name} was paid {reward.minted_wei}")
    balances_wei = [str(ada.balance_wei()), str(ben.balance_wei())]
    return {
        "difference_wei": difference_wei,
        "for_wei": for_wei,
        "against_wei": against_wei,
        "balances_wei": balances_wei,
    }


if __name__ == "__main__":
    print(json.dumps(play()))
