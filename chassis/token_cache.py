"""Access tokens that were verified once, and whether they still hold: to look costs a hundredth of a verification.

States of a token:

- *unknown*: its signature and claims have to be verified. Verified → *known*.
- *known*: it lets its member in. Its `exp` has passed → *expired*: refused and forgotten, so *unknown*. Its session was
  ended or its member suspended → *ended*.
- *ended*: refused. Its member was reinstated → *known*; an ended session stays so for longer than any token lives.

Strangers choose the tokens, but only those that hold are kept, and there is room for `CACHE_SIZE`: a full cache begins
anew, all its tokens *unknown*. Who keeps a principal beyond one request compares `revision` before each use.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import Unauthorized

CACHE_SIZE = 20_000
_REMEMBERED_SECONDS = 3_600
"""How long an ended session is known as such: longer than any access token lives."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The member behind a valid access token."""

    member_id: UUID
    roles: frozenset[str]
    session_id: UUID

    @property
    def is_admin(self) -> bool:
        """True for an administrator of the network."""
        return "admin" in self.roles


Known = tuple[Principal, int]
"""Who a token lets in, and until when (seconds since the epoch)."""


class TokenCache:
    """What one process remembers of tokens, and of what identity has revoked."""

    def __init__(self) -> None:
        self.revision = 0
        """Rises when a session has ended or a member was suspended."""

        self._known: dict[str, Known] = {}
        self._ended_sessions: dict[UUID, float] = {}
        self._suspended: set[UUID] = set()

    def get(self, token: str) -> Known | None:
        """What is known of the token; it may be expired or ended."""
        return self._known.get(token)

    def put(self, token: str, principal: Principal, expires: int) -> Known:
        """The token was verified."""
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        known = self._known[token] = (principal, expires)
        return known

    def holds(self, known: Known) -> bool:
        """Whether a token of which this is known lets its member in, now."""
        principal, expires = known
        if expires <= time.time() or principal.session_id in self._ended_sessions:
            return False
        return principal.member_id not in self._suspended

    def check(self, token: str, known: Known) -> Principal:
        """Who the token lets in. Raises: Unauthorized, with the reason, when it does not hold."""
        if self.holds(known):
            return known[0]
        if known[1] <= time.time():
            self._known.pop(token, None)
            raise Unauthorized("The token has expired", code="token_expired")
        raise Unauthorized("The session has ended", code="session_ended")

    def take(self, kind: str, subject: UUID) -> None:
        """An entry of identity's feed of revocations: a `session` ended, a `member` suspended or `reinstated`."""
        self.revision += 1
        if kind == "session":
            self._ended_sessions[subject] = time.monotonic() + _REMEMBERED_SECONDS
        elif kind == "member":
            self._suspended.add(subject)
        elif kind == "reinstated":
            self._suspended.discard(subject)

    def forget_old(self) -> None:
        """Sessions that ended so long ago that none of their tokens is left."""
        now = time.monotonic()
        self._ended_sessions = {sid: until for sid, until in self._ended_sessions.items() if until > now}
