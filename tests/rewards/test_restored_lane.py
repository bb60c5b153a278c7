"""A restored database whose lane has forgotten nonces that the chain has used."""

import pytest
from sqlalchemy import select

from services.rewards import models
from tests.rewards.chain_world import PaidWorld
from tests.rewards.world import Story

pytestmark = pytest.mark.chain
TWENTY = 20 * 10**18


async def test_a_nonce_that_a_restored_database_has_forgotten_is_not_given_again(paid: PaidWorld, paid_story: Story):
    """The books are complete, the lane is not: until it has caught up, a settlement would get a used nonce."""
    await paid_story.begin()
    await paid_story.pay()
    await paid.payout()
    await paid.execute("DELETE FROM chain_attempts")
    await paid.execute("DELETE FROM chain_intents")
    await paid.network.mine(4)
    await paid.reconcile()
    second = await paid_story.pay()
    assert not await paid.settle()
    assert "has forgotten some" in str(await paid.rows(select(models.payout_state.c.problem)))
    await paid.follow()
    await paid.mend()
    await paid.payout()
    assert {row.minted_wei for row in await paid.rewards(second.transaction_id)} == {TWENTY}
    await paid.check_invariants(paid_story)
