"""States, actors, payment providers and search: the rules without money."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import uuid4

import pytest

from chassis.errors import Forbidden, InvalidState, Unprocessable
from services.jobs.domain import states
from services.jobs.domain.actors import Actor, require_role, require_side
from services.jobs.domain.payments import provider_named, providers
from services.jobs.domain.search import JobQuery, JobSort, plain_words, require_rankable, skill_keys
from services.jobs.errors import MissingRole, UnknownPaymentMethod
from services.jobs.settings import JobsSettings

pytestmark = pytest.mark.unit

EXPECTED = {
    "job": {("draft", "publish"): "open", ("open", "close"): "closed"},
    "bid": {
        ("placed", "offer"): "offered",
        ("placed", "withdraw"): "withdrawn",
        ("offered", "release"): "placed",
        ("offered", "accept"): "accepted",
    },
    "offer": {("open", "accept"): "accepted", ("open", "decline"): "declined", ("open", "withdraw"): "withdrawn"},
    "engagement": {("active", "end"): "ended"},
    "invoice": {
        ("submitted", "approve"): "approved",
        ("submitted", "reject"): "rejected",
        ("approved", "pay"): "paid",
    },
}
MACHINES = {
    "job": (states.JOB_MOVES, states.JobStatus),
    "bid": (states.BID_MOVES, states.BidStatus),
    "offer": (states.OFFER_MOVES, states.OfferStatus),
    "engagement": (states.ENGAGEMENT_MOVES, states.EngagementStatus),
    "invoice": (states.INVOICE_MOVES, states.InvoiceStatus),
}


def reached(noun: str) -> Mapping[tuple[str, str], str]:
    """What every action does in every state; refusals left out."""
    moves, kind = MACHINES[noun]
    found: dict[tuple[str, str], str] = {}
    for state in kind:
        for action in moves:
            try:
                found[state.value, action] = states.move(moves, action, state, noun=noun).value  # type: ignore[type-var]
            except InvalidState:
                continue
    return found


@pytest.mark.parametrize("noun", EXPECTED)
def test_only_these_moves_exist(noun: str) -> None:
    assert reached(noun) == EXPECTED[noun]


def test_a_refused_move_says_why() -> None:
    with pytest.raises(InvalidState, match="Cannot pay this invoice: it is submitted, not approved"):
        states.move(states.INVOICE_MOVES, "pay", "submitted", noun="invoice")


def test_a_needed_state_is_needed() -> None:
    class Light(StrEnum):
        ON = "on"

    states.require_state(Light.ON, "on", noun="light")
    with pytest.raises(InvalidState):
        states.require_state(Light.ON, "off", noun="light")


def test_roles_come_from_the_token() -> None:
    actor = Actor(uuid4(), frozenset({"talent"}))
    require_role(actor, "talent")
    assert not actor.is_admin
    with pytest.raises(MissingRole):
        require_role(actor, "client")


def test_only_the_side_itself_may() -> None:
    actor = Actor(uuid4(), frozenset())
    require_side(actor, actor.member_id, side="client")
    with pytest.raises(Forbidden):
        require_side(actor, uuid4(), side="client")


def test_the_sandbox_can_be_switched_off() -> None:
    assert provider_named("sandbox", providers(sandbox_on=True)).settle(total_cents=1) == "succeeded"
    for method, available in (("sandbox", providers(sandbox_on=False)), ("card", providers(sandbox_on=True))):
        with pytest.raises(UnknownPaymentMethod):
            provider_named(method, available)


def test_the_sandbox_is_off_in_production_unless_asked_for() -> None:
    assert JobsSettings(environment="development").sandbox_on
    assert not JobsSettings(environment="production").sandbox_on
    assert JobsSettings(environment="production", sandbox_enabled=True).sandbox_on
    assert not JobsSettings(environment="development", sandbox_enabled=False).sandbox_on


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SANDBOX_ENABLED", "false")
    assert not JobsSettings().sandbox_on


def test_skills_are_compared_case_folded() -> None:
    assert skill_keys([" Python", "python ", "Straße", "", "SQL"]) == ("python", "strasse", "sql")


def test_relevance_needs_words() -> None:
    require_rankable(JobQuery(text="python", sort=JobSort.RELEVANCE))
    require_rankable(JobQuery())
    with pytest.raises(Unprocessable):
        require_rankable(JobQuery(sort=JobSort.RELEVANCE))


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("python developer", "python developer"),
        ('"smart contract" -java or rust', '"smart contract" -java or rust'),
        ("c++ node.js ci/cd o'neill", "c node.js ci/cd o'neill"),
        ("a--b -- -c", "a b -c"),
        ("(((( & | ! : * <->", ""),
        ('-"" "-" "a, b', "a b"),
        ("Straße 日本", "Straße 日本"),
    ],
)
def test_a_search_is_reduced_to_words(typed: str, searched: str) -> None:
    assert plain_words(typed) == searched
