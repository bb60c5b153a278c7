"""Whom events go to, and what of them: every type is decided, and nobody sees what the API would not show them."""

import json
from typing import Any
from uuid import UUID

import pytest

from chassis.envelope import Event
from chassis.testing import ROOT
from events.audience import AUDIENCES, LEFT_OUT, concerned, shown
from events.jobs import BidPlaced
from events.registry import EVENTS
from events.schemas import example

SCHEMAS = json.loads((ROOT / "gateway" / "openapi.json").read_bytes())["components"]["schemas"]

READ = {
    "identity.member": ("MemberRead", {"member_id": "id", "connector_id": "referred_by"}),
    "identity.referral": ("MemberRead", {"member_id": "id", "connector_id": "referred_by"}),
    "identity.wallet": ("WalletRead", {"member_id": None}),
    "identity.session": ("SessionInfo", {"sid": "id", "member_id": None}),
    "jobs.job": ("JobRead", {"job_id": "id"}),
    "jobs.bid": ("BidRead", {"bid_id": "id"}),
    "jobs.offer": ("OfferRead", {"offer_id": "id"}),
    "jobs.invoice": ("InvoiceRead", {"invoice_id": "id"}),
    "jobs.engagement": ("EngagementRead", {"engagement_id": "id"}),
    "jobs.transaction": ("TransactionRead", {}),
    "rewards.reward": ("RewardRead", {"reward_id": "id"}),
    "governance.proposal": ("ProposalRead", {"proposal_id": "id"}),
    "governance.grant": ("GrantActionRead", {}),
}
"""For each topic what the members concerned can read of the same thing, where its fields have other names; None: it is
the reader."""

REFUND = ("RefundRead", {"refund_id": "id", "refunded_cents": "amount_cents"})
COUNTED = ("ResultsRead", {})
MORE = {"jobs.transaction.refunded.v1": REFUND, "governance.proposal.closed.v1": COUNTED}
"""Types of which a second resource tells the rest."""

PUBLIC = {"governance.proposal": {"chain_tx_hash"}}
"""What anybody can look up on the chain."""


@pytest.mark.unit
def test_every_event_is_decided_upon() -> None:
    assert set(AUDIENCES) | set(LEFT_OUT) == set(EVENTS.values()), "list the new event in events/audience.py"
    assert not set(AUDIENCES) & set(LEFT_OUT)


@pytest.mark.unit
@pytest.mark.parametrize("event", AUDIENCES, ids=lambda event: event.type_)
def test_members_are_named_by_fields_that_are_shown(event: type[Event]) -> None:
    audience = AUDIENCES[event]
    assert audience.members
    assert len(set(audience.shown)) == len(audience.shown)
    assert set(audience.members) <= set(audience.shown) <= set(event.model_fields)
    for name in audience.members:
        field = event.model_fields[name]
        assert UUID in {field.annotation, *getattr(field.annotation, "__args__", ())}, name


def fields_of(schema: str, names: dict[str, str | None], wanted: str) -> bool:
    """Whether the resource has the field, under its own name or another, or the reader knows it as themselves."""
    name = names.get(wanted, wanted)
    return name is None or name in SCHEMAS[schema]["properties"]


@pytest.mark.unit
@pytest.mark.parametrize("event", AUDIENCES, ids=lambda event: event.type_)
def test_nothing_is_shown_that_the_api_does_not_show(event: type[Event]) -> None:
    resources: list[tuple[str, Any]] = [READ[event.topic()]]
    if event.type_ in MORE:
        resources.append(MORE[event.type_])
    for name in AUDIENCES[event].shown:
        if name.endswith("_at") or name in PUBLIC.get(event.topic(), set()):  # when it happened
            continue
        assert any(fields_of(schema, names, name) for schema, names in resources), f"{event.type_}: {name}"


@pytest.mark.unit
@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.type_)
def test_an_event_goes_to_whom_it_names_and_to_nobody_else(event: type[Event]) -> None:
    made = event.model_validate(example(event)["data"])
    if event in LEFT_OUT:
        assert concerned(made) == frozenset()
        return
    assert concerned(made) == {getattr(made, name) for name in AUDIENCES[event].members}
    assert set(shown(made)) == set(AUDIENCES[event].shown)


@pytest.mark.unit
def test_an_older_event_names_fewer() -> None:
    data = example(BidPlaced)["data"]
    talent = UUID(data["talent_id"])
    assert concerned(BidPlaced.model_validate({**data, "client_id": None})) == {talent}
