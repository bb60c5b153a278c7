"""Idempotency-Key: the answer is stored in the unit of work of the effect, so both exist or neither does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa
from fastapi import Response
from sqlalchemy.dialects.postgresql import insert

from chassis.clock import utc_now
from chassis.db import Session
from chassis.errors import BadRequest, Conflict, Unprocessable
from chassis.tables import idempotency

KEPT = timedelta(hours=48)
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_HEADERS = ("content-type", "location", "etag")


class AlreadyDone(Exception):
    """Unwinds a request whose answer is stored already."""

    def __init__(self, response: Response) -> None:
        super().__init__("already done")
        self.response = response


@dataclass(frozen=True, slots=True)
class Claim:
    """One member's use of one key for one request."""

    member_id: UUID
    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, member_id: UUID, key: str, method: str, target: str, body: bytes) -> "Claim":
        """The claim of a request.

        Raises: BadRequest when the key is not 1 to 255 visible ASCII characters.
        """
        if not _KEY.fullmatch(key):
            raise BadRequest("Idempotency-Key is 1 to 255 visible ASCII characters", code="idempotency_key_malformed")
        digest = sha256(f"{method} {target}\n".encode() + body).digest()
        return cls(member_id, key, digest)

    async def take(self, session: Session) -> None:
        """Make the key ours for this unit of work.

        Raises: AlreadyDone with the stored answer; Conflict when another request holds the key right now;
        Unprocessable when the key was used for another request.
        """
        name = sa.func.hashtextextended(f"idempotency {self.member_id} {self.key}", 0)
        if not await session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(name))):
            raise Conflict("A request with this Idempotency-Key is in flight", code="idempotency_key_in_flight")
        found = (
            await session.execute(
                sa.select(idempotency).where(idempotency.c.member_id == self.member_id, idempotency.c.key == self.key)
            )
        ).one_or_none()
        if found is None:
            return
        if bytes(found.fingerprint) != self.fingerprint:
            raise Unprocessable("This Idempotency-Key was used for another request", code="idempotency_key_reused")
        raise AlreadyDone(_replay(found.status, found.headers, bytes(found.body)))

    async def keep(self, session: Session, response: Response) -> None:
        """Store a 2xx answer with the effect it reports.

        Raises: AlreadyDone, Conflict, Unprocessable as `take` (when the endpoint made no statement before).
        """
        headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        await session.execute(
            insert(idempotency).values(
                member_id=self.member_id,
                key=self.key,
                fingerprint=self.fingerprint,
                status=response.status_code,
                headers=headers,
                body=bytes(response.body),
                created_at=utc_now(),
            )
        )


def _replay(status: int, headers: Mapping[str, str], body: bytes) -> Response:
    response = Response(content=body, status_code=status, headers=dict(headers))
    response.headers["Idempotency-Replayed"] = "true"
    return response


async def forget_old(session: Session) -> int:
    """Delete answers older than `KEPT`; how many there were."""
    result = await session.execute(sa.delete(idempotency).where(idempotency.c.created_at < utc_now() - KEPT))
    return result.rowcount
