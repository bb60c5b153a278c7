"""Calls to identity and jobs, over their internal APIs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from chassis.auth import internal_token
from chassis.clock import Timestamp
from chassis.errors import Unavailable
from chassis.http import HttpClient
from services.rewards.domain.facts import Confirmed, Refunded, RefundFacts, TransactionFacts

UNKNOWN = {"identity": "not_found", "jobs": "unknown_transaction"}
"""How each service says that there is no such thing."""


class _Attribution(BaseModel):
    connector_id: UUID | None
    registered_at: Timestamp


class _Transaction(BaseModel):
    invoice_id: UUID
    engagement_id: UUID
    client_id: UUID
    talent_id: UUID
    provider: str
    amount_cents: int
    currency: str
    client_fee_cents: int
    talent_fee_cents: int
    parameters_version: int
    completed_at: Timestamp


class _Totals(BaseModel):
    total_refunded_cents: int
    total_client_fee_refunded_cents: int


class _Refund(_Totals):
    refunded_cents: int
    client_fee_refunded_cents: int
    refunded_at: Timestamp


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who referred a member, and when the member joined."""

    connector_id: UUID | None
    registered_at: datetime


class Services:
    """The other services of this deployment, asked by their internal APIs."""

    def __init__(self, http: HttpClient, *, identity_url: str, jobs_url: str, internal_secret: str) -> None:
        self._http = http
        self._identity_url = identity_url.rstrip("/")
        self._jobs_url = jobs_url.rstrip("/")
        self._secret = internal_secret

    async def find_attribution(self, member_id: UUID) -> Attribution | None:
        """A member's attribution, or None when identity knows no such member.

        Raises: HttpUnavailable, Unavailable.
        """
        body = await self._find("identity", f"{self._identity_url}/internal/members/{member_id}/attribution")
        if body is None:
            return None
        try:
            found = _Attribution.model_validate(body)
        except ValidationError as error:
            raise Unavailable("identity's answer is not an attribution") from error
        return Attribution(found.connector_id, found.registered_at)

    async def find_transaction(self, transaction_id: UUID) -> Confirmed | None:
        """A transaction as the jobs service itself has it, or None when it knows no such one.

        Raises: HttpUnavailable, Unavailable.
        """
        body = await self._find("jobs", f"{self._jobs_url}/internal/transactions/{transaction_id}")
        if body is None:
            return None
        try:
            found, totals = _Transaction.model_validate(body), _Totals.model_validate(body)
        except ValidationError as error:
            raise Unavailable("the jobs service's answer is not a transaction") from error
        return Confirmed(
            TransactionFacts(transaction_id=transaction_id, **dict(found)),
            Refunded(totals.total_refunded_cents, totals.total_client_fee_refunded_cents),
        )

    async def find_refund(self, transaction_id: UUID, refund_id: UUID) -> RefundFacts | None:
        """A transaction's refund as the jobs service itself has it, or None when it knows no such one.

        Raises: HttpUnavailable, Unavailable.
        """
        path = f"/internal/transactions/{transaction_id}/refunds/{refund_id}"
        body = await self._find("jobs", f"{self._jobs_url}{path}")
        if body is None:
            return None
        try:
            found = _Refund.model_validate(body)
        except ValidationError as error:
            raise Unavailable("the jobs service's answer is not a refund") from error
        return RefundFacts(refund_id=refund_id, transaction_id=transaction_id, **dict(found))

    async def _find(self, service: str, url: str) -> Any | None:
        headers = {"Authorization": f"Bearer {internal_token(self._secret, service)}"}
        answer = await self._http.get_json(url, headers=headers)
        if answer.status not in {200, 404}:
            raise Unavailable(f"{service} answered {answer.status}")
        try:
            body = answer.json()
        except ValueError as error:
            raise Unavailable(f"{service} answered with something else than JSON") from error
        if answer.status == 200:
            return body
        # A wrong address answers 404 too: only the service's own word that there is no such thing counts.
        if not isinstance(body, dict) or body.get("code") != UNKNOWN[service]:
            raise Unavailable(f"{service} does not know this address: is its URL right?")
        return None
