"""Who may do what, as the network's interfaces promise it. The matrix takes everything else from the document.

An operation that changes something and a reference that are not named here fail the matrix: whoever adds one says here
who may use it. Reading needs no line: what a member sees is with the resources of the world.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.owner.model import Actor, Resource
from tests.e2e.owner.surface import Operation

OK = frozenset({200, 201, 202, 204})


class Untold(AssertionError):
    """The matrix does not know what an operation of the document promises, or how to call it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The promises of one API."""

    changes: Mapping[str, tuple[str, ...]]
    """Operation → who may: a side of the resource (client, talent, owner), admin, role:<name>, `self` (it touches
    nothing but the caller's own), `anyone` (the same, without a token too), `proof` (the body proves who asks)."""

    unproven: Mapping[str, int] = field(default_factory=dict)
    """Operation of `proof` → the answer to the document's example, which proves nothing."""

    references: Mapping[tuple[str, str], frozenset[int]] = field(default_factory=dict)
    """(operation, field) → the answers to a member who names what is another's."""

    known_fields: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    """(operation, field that the matrix adds) where the body has such a field → the answer; None: it is meant so."""

    public_reads: frozenset[str] = frozenset()
    """Operations that anybody may read whatever the resource's readers are."""

    token_ignored: frozenset[str] = frozenset()
    """Operations for those whose token does not hold any more."""

    seen_when: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Operation → states of a resource in which everybody may know that it exists."""

    maybe_missing: frozenset[str] = frozenset()
    """Own resources that a member need not have: 404 then."""

    volatile: frozenset[str] = frozenset()
    """Readings that differ from one moment to the next."""

    one_page: frozenset[str] = frozenset()
    """Lists of which nobody in the world has more than one item: there is no cursor to steal."""

    queries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Operation → the query that makes it tell the most."""

    bodies: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """(operation, reference) → a body that has this reference, where the document's example does not."""


def turned_away(rules: Rules, operation: Operation, actor: Actor) -> bool:
    """Whether the actor's token, or that there is none, is the end of it."""
    if actor.ended:
        return operation.id not in rules.token_ignored
    return operation.needs_token and not actor.token


def sees(rules: Rules, operation: Operation, actor: Actor, resource: Resource) -> bool:
    """Whether the actor may know that the resource exists, when calling this operation."""
    if operation.id in rules.public_reads or resource.state in rules.seen_when.get(operation.id, ()):
        return True
    return resource.seen_by(actor)


def may(rules: Rules, operation: Operation, actor: Actor, resource: Resource | None) -> bool:
    """Whether the actor may make this change.

    Raises: Untold.
    """
    who = who_may(rules, operation)
    if {"self", "anyone"} & set(who):
        return True
    if actor.is_admin and "admin" in who:
        return True
    for one in who:
        role = one.removeprefix("role:")
        if role != one and role in actor.roles and (resource is None or actor.member_id not in resource.sides.values()):
            return True
    return resource is not None and any(resource.sides.get(side) == actor.member_id for side in who)


def who_may(rules: Rules, operation: Operation) -> tuple[str, ...]:
    """The line of a change. Raises: Untold."""
    if operation.id not in rules.changes:
        raise Untold(f"{operation.id} changes something: say in the rules of the owner matrix who may do it")
    return rules.changes[operation.id]


def expected(rules: Rules, operation: Operation, actor: Actor, resource: Resource | None) -> frozenset[int] | None:
    """The statuses of the answer to a request that is well-formed; None when it would be done.

    Raises: Untold.
    """
    if turned_away(rules, operation, actor):
        return frozenset({401})
    if operation.reads:
        return _expected_reading(rules, operation, actor, resource)
    who = who_may(rules, operation)
    if who == ("admin",) and not actor.is_admin:
        return frozenset({403})
    if resource is not None and not sees(rules, operation, actor, resource):
        return frozenset({404})
    if who == ("proof",):
        return frozenset({rules.unproven[operation.id]})
    return None if may(rules, operation, actor, resource) else frozenset({403})


def _expected_reading(rules: Rules, operation: Operation, actor: Actor, resource: Resource | None) -> frozenset[int]:
    if resource is not None:
        return frozenset({200 if sees(rules, operation, actor, resource) else 404})
    return frozenset({200, 404} if operation.id in rules.maybe_missing else {200})


def expected_with_extra_field(rules: Rules, operation: Operation, actor: Actor) -> frozenset[int]:
    """The same with a field that the body does not have: refused before anything is looked up."""
    if turned_away(rules, operation, actor):
        return frozenset({401})
    if who_may(rules, operation) == ("admin",) and not actor.is_admin:
        return frozenset({403, 422})
    return frozenset({422})


NETWORK = Rules(
    changes={
        "register_member": ("anyone",),
        "update_own_member": ("self",),
        "set_member_roles": ("admin",),
        "suspend_member": ("admin",),
        "reinstate_member": ("admin",),
        "create_session": ("proof",),
        "refresh_session": ("proof",),
        "create_wallet_session": ("proof",),
        "end_current_session": ("self",),
        "create_wallet_challenge": ("anyone",),
        "link_wallet": ("proof",),
        "set_payout_wallet": ("self",),
        "create_job": ("role:client",),
        "update_job": ("client",),
        "publish_job": ("client",),
        "close_job": ("client",),
        "place_bid": ("role:talent",),
        "withdraw_bid": ("talent",),
        "make_offer": ("client",),
        "withdraw_offer": ("client",),
        "accept_offer": ("talent",),
        "decline_offer": ("talent",),
        "end_engagement": ("client", "talent"),
        "submit_invoice": ("talent",),
        "approve_invoice": ("client",),
        "reject_invoice": ("client",),
        "pay_invoice": ("client",),
        "refund_transaction": ("talent", "admin"),
        "create_proposal": ("self",),
        "create_vote": ("proof",),
        "create_onchain_vote": ("proof",),
        "create_delegation": ("proof",),
    },
    unproven={
        "create_session": 401,
        "refresh_session": 401,
        "create_wallet_session": 401,
        "link_wallet": 401,
        "create_vote": 401,
        "create_onchain_vote": 409,  # the Governor has none of these proposals: nothing is looked at
        "create_delegation": 401,
    },
    references={
        ("create_wallet_challenge", "address"): frozenset({201}),  # to have it signed is the proof
        ("set_payout_wallet", "address"): frozenset({422}),
        ("create_proposal", "proposer"): frozenset({403}),
        ("create_proposal", "actions.beneficiary_id"): frozenset({403}),  # anybody may be granted; the proposer is none
        ("create_vote", "voter"): frozenset({401}),
        ("create_onchain_vote", "voter"): frozenset({409}),
        ("create_delegation", "delegator"): frozenset({401}),
        ("create_delegation", "delegatee"): frozenset({401}),
        ("stream_own_events", "last_event_id"): frozenset({200}),  # no place in one's own feed: it begins anew
        ("list_rewards", "transaction_id"): frozenset({200}),
        ("list_ledger_lines", "reward_id"): frozenset({200}),
        # what follows is public: votes and voting power are those of the chain
        ("list_votes", "voter"): frozenset({200}),
        ("get_ballot", "voter"): frozenset({200}),
        ("get_delegation_typed_data", "delegator"): frozenset({200}),
        ("get_delegation_typed_data", "delegatee"): frozenset({200}),
    },
    known_fields={("register_member", "roles"): 422, ("set_member_roles", "roles"): None},
    public_reads=frozenset({"prove_reward"}),
    token_ignored=frozenset({"create_session", "refresh_session", "create_wallet_session"}),
    # a closed job was everybody's once, so a late bid may learn that it came late; its page is the bidders' now
    seen_when={"place_bid": frozenset({"closed"})},
    maybe_missing=frozenset({"get_payout_wallet"}),
    volatile=frozenset(
        {
            "get_token",
            "audit_supply",
            "list_epochs",
            "audit_epoch",
            "get_voting_power",
            "get_delegation_typed_data",
            "stream_own_events",
        }
    ),
    queries={"stream_own_events": {"last_event_id": "0"}},
    one_page=frozenset(
        {
            "list_epochs",
            "audit_epoch",
            "list_proposals",
            "list_votes",
            "list_parameters_history",
            "list_refunds",
            "list_offers_on_bid",
        }
    ),
    bodies={
        ("create_proposal", "actions.beneficiary_id"): {
            "title": "A grant",
            "body": "For work done.",
            "proposer": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "actions": [{"kind": "grant", "beneficiary_id": "", "amount_wei": "1"}],
        }
    },
)
"""What the interfaces of the network promise."""
