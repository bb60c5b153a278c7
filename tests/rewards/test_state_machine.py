"""Whatever order things happen in: payments, refunds, forgeries, tellings again, payouts, blocks, reorganisations and
restarts, drawn by hypothesis against a real node and PostgreSQL. In the end each connector has, to the wei, what the
formula gives on what refunds have left."""

import asyncio
import contextlib
import itertools
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from chassis.testing import fresh_database
from events.jobs import TransactionCompleted
from services.rewards import workers
from services.rewards.domain.amounts import rewards_after_refunds
from tests.rewards.chain_world import Network, PaidWorld
from tests.rewards.world import PRICE, Neighbours, Story

pytestmark = [pytest.mark.chain, pytest.mark.timeout(600)]

OPEN = {"waiting", "accrued", "held", "queued", "submitted"}
TURNS = 40


class Payment:
    """A transaction, and how much of it went back."""

    def __init__(self, event: TransactionCompleted) -> None:
        self.event = event
        self.refunded = 0


class Rewards(RuleBasedStateMachine):
    """One network with two connectors, a client and a Talent."""

    dsn: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.payments: list[Payment] = []
        self.has_wallets = False
        self._run(self._open())

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def _open(self) -> None:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        neighbours = await self._stack.enter_async_context(Neighbours().serving())
        self.network = Network(Path(folder) / "chain")
        self._stack.push_async_callback(self.network.stop)
        await self.network.start()
        dsn = await self._stack.enter_async_context(fresh_database(self.dsn, "services/rewards/migrations"))
        self.world = PaidWorld(dsn, neighbours, self.network)
        await self.world.open()
        self.story = Story(self.world)
        await self.story.begin(wallets=False)
        await self.world.tell(self.story.wallet(self.story.client_connector))
        for _ in range(10):  # blocks that the indexer knows, and can go back to when the newest are gone
            await self.network.mine()
            await self._follow()
            await self.world.reconcile()

    async def _follow(self) -> None:
        """As the worker does: a chain that just went back is a problem for the next tick."""
        self.world.side.next_tick_at = 0.0
        await workers.follow_chain(self.world.context)

    # --- what members do ------------------------------------------------------------------------------------------

    @rule(amount_cents=st.integers(100, 10_000_000), is_verified=st.booleans())
    def pay(self, amount_cents: int, is_verified: bool) -> None:
        event = self.story.completed(amount_cents=amount_cents, client_fee_cents=amount_cents // 10)
        self.payments.append(Payment(event))
        self._run(self.world.tell(event))
        if is_verified:
            self._run(self.world.verify())

    @precondition(lambda self: any(each.refunded < each.event.amount_cents for each in self.payments))
    @rule(data=st.data(), is_verified=st.booleans())
    def refund(self, data: st.DataObject, is_verified: bool) -> None:
        left = [each for each in self.payments if each.refunded < each.event.amount_cents]
        payment = data.draw(st.sampled_from(left))
        rest = payment.event.amount_cents - payment.refunded
        cents = data.draw(st.one_of(st.just(rest), st.integers(1, rest)))
        told = self.story.refunded(payment.event, cents, before=payment.refunded)
        payment.refunded += cents
        self._run(self.world.tell(told))
        if is_verified:
            self._run(self.world.verify())

    @precondition(lambda self: self.payments)
    @rule(data=st.data())
    def tell_again(self, data: st.DataObject) -> None:
        self._run(self.world.tell(data.draw(st.sampled_from(self.payments)).event))

    @rule(amount_cents=st.integers(100, 10_000_000))
    def forge(self, amount_cents: int) -> None:
        """An event that the jobs service knows nothing of."""
        forged = self.story.completed(is_true=False, amount_cents=amount_cents, client_fee_cents=amount_cents)
        self._run(self.world.tell(forged))
        self._run(self.world.verify())

    @precondition(lambda self: not self.has_wallets)
    @rule()
    def link_the_other_wallet(self) -> None:
        self.has_wallets = True
        self._run(self.world.tell(self.story.wallet(self.story.talent_connector)))

    # --- what the network does ------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        self._run(self.world.settle())

    @rule()
    def follow(self) -> None:
        self._run(self._follow())

    @rule(blocks=st.integers(1, 4))
    def mine(self, blocks: int) -> None:
        self._run(self.network.mine(blocks))

    @rule(depth=st.integers(1, 6))
    def reorganise(self, depth: int) -> None:
        self._run(self.network.client.rpc.call("anvil_reorg", depth, []))

    @rule()
    def reconcile_and_mend(self) -> None:
        self._run(self.world.reconcile())
        self._run(self.world.mend())

    @rule()
    def restart(self) -> None:
        self._run(self.world.restart())

    @rule()
    def a_whole_payout(self) -> None:
        for work in (self.world.verify, self.world.settle, self._follow, lambda: self.network.mine(4), self._follow):
            self._run(work())

    # --- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_exact(self) -> None:
        self._run(self.world.check_ledger())

    def teardown(self) -> None:
        try:
            self._run(self._come_to_rest())
            self._run(self.world.check_invariants(self.story))
            self._run(self._check_amounts())
        finally:
            self._run(self.world.close())
            self._run(self._stack.aclose())
            self._runner.close()

    async def _come_to_rest(self) -> None:
        world = self.world
        await world.tell(self.story.wallet(self.story.talent_connector))
        for _ in range(TURNS):
            await world.verify()
            await world.execute("UPDATE rewards SET check_at = clock_timestamp() WHERE status = 'held'")
            await workers.review_due(world.context)
            await world.settle()
            await self._follow()
            await self.network.mine(2)
            await self._follow()
            await world.reconcile()
            await world.mend()
            statuses = {row.status for row in await world.rewards() if row.source_kind != "forged"}
            if not statuses & OPEN and set(await world.settled_statuses()) <= {"minted", "freed"}:
                return
            await asyncio.sleep(0.05)
        left = [(row.status, row.reason) for row in await world.rewards()]
        raise AssertionError(f"not at rest: {left}, {await world.settled_statuses()}, {self.world.side.report}")

    async def _check_amounts(self) -> None:
        """What a connector was paid, less what they still owe, is what the formula gives on all that is left."""
        earned = dict.fromkeys(self.story.wallets, 0)
        for payment in self.payments:
            entitled = rewards_after_refunds(
                amount_cents=payment.event.amount_cents,
                client_fee_cents=payment.event.client_fee_cents,
                total_refunded_cents=payment.refunded,
                total_client_fee_refunded_cents=payment.refunded * 800 // 10_000,
                connector_reward_bps=100,
                price_usd_e8=PRICE,
                sides=("client", "talent"),
            )
            earned[self.story.client_connector] += entitled["client"]
            earned[self.story.talent_connector] += entitled["talent"]
        for member_id, address in self.story.wallets.items():
            paid = await self.network.balance(address)
            assert paid - await self._owed(member_id) == earned[member_id]

    async def _owed(self, member_id: Any) -> int:
        lines = itertools.chain(await self.world.lines(member_id))
        kinds = {"refund": 1, "offset": -1}
        return -sum(wei * kinds.get(code, 0) for code, wei in lines)


@pytest.mark.parametrize(
    ("examples", "steps"), [(12, 25), pytest.param(60, 50, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])]
)
def test_in_any_order_each_connector_ends_with_what_the_formula_gives(
    postgres_dsn: str, examples: int, steps: int
) -> None:
    Rewards.dsn = postgres_dsn
    checks = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # an example takes seconds: to shrink one would take minutes
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Rewards, settings=checks)
