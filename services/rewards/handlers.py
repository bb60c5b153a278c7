"""What rewards does about other services' events; they may come in any order."""

from chassis.bus import Subscriptions
from chassis.db import Session
from chassis.envelope import Envelope
from events.governance import GrantApproved, ParameterChanged
from events.identity import MemberRegistered, WalletPayoutChanged
from events.jobs import TransactionCompleted, TransactionRefunded
from services.rewards.domain.facts import RefundFacts, TransactionFacts
from services.rewards.service.accrual import record_transaction
from services.rewards.service.facts import record_member, record_parameters, record_payout_wallet
from services.rewards.service.grants import record_grant
from services.rewards.service.refunds import record_refund

subscriptions = Subscriptions("rewards")


@subscriptions.on(TransactionCompleted)
async def on_transaction_completed(session: Session, event: TransactionCompleted, envelope: Envelope) -> None:
    """Record it; rewards follow as soon as everything they need is known."""
    told = TransactionFacts(**dict(event))
    await record_transaction(session, told=told, event=envelope.model_dump(mode="json"))


@subscriptions.on(TransactionRefunded)
async def on_transaction_refunded(session: Session, event: TransactionRefunded, envelope: Envelope) -> None:
    """Record it, perhaps before its transaction; it takes effect once the jobs service has confirmed it."""
    told = RefundFacts(**{name: getattr(event, name) for name in RefundFacts.__dataclass_fields__})
    await record_refund(session, told=told, event=envelope.model_dump(mode="json"))


@subscriptions.on(MemberRegistered)
async def on_member_registered(session: Session, event: MemberRegistered, envelope: Envelope) -> None:  # noqa: ARG001
    """Who referred the member, or that nobody did."""
    await record_member(
        session, member_id=event.member_id, connector_id=event.connector_id, registered_at=event.registered_at
    )


@subscriptions.on(WalletPayoutChanged)
async def on_wallet_payout_changed(session: Session, event: WalletPayoutChanged, envelope: Envelope) -> None:  # noqa: ARG001
    """Where the member is paid from now on."""
    await record_payout_wallet(
        session, member_id=event.member_id, address=event.address, effective_at=event.effective_at
    )


@subscriptions.on(ParameterChanged)
async def on_parameter_changed(session: Session, event: ParameterChanged, envelope: Envelope) -> None:  # noqa: ARG001
    """A new version of the network's parameters."""
    await record_parameters(
        session, version=event.version, parameters=event.parameters, effective_at=event.effective_at
    )


@subscriptions.on(GrantApproved)
async def on_grant_approved(session: Session, event: GrantApproved, envelope: Envelope) -> None:  # noqa: ARG001
    """A grant was voted."""
    await record_grant(
        session,
        grant_id=event.grant_id,
        beneficiary_id=event.beneficiary_id,
        amount_wei=event.amount_wei,
        approved_at=event.approved_at,
    )
