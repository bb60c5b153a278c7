"""Who acts, and what they must be for it."""

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import Forbidden
from services.jobs.errors import MissingRole


@dataclass(frozen=True, slots=True)
class Actor:
    """The member behind a call, with the roles their token carries."""

    member_id: UUID
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """True for an administrator of the network."""
        return "admin" in self.roles


def require_role(actor: Actor, role: str) -> None:
    """Let pass only members with `role`.

    Raises: MissingRole otherwise.
    """
    if role not in actor.roles:
        raise MissingRole(f"Only members with the role {role} may do this.")


def require_side(actor: Actor, member_id: UUID, *, side: str) -> None:
    """Let pass only the member who is this side of the matter.

    Raises: Forbidden for everybody else: they may see it, but not do this.
    """
    if actor.member_id != member_id:
        raise Forbidden(f"Only its {side} may do this.")
