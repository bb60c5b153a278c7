"""Who asks, what they ask for, what nobody else may learn: the words of the owner matrix."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.owner.surface import Operation


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who calls; without a token anybody at all."""

    name: str
    member_id: str = ""
    roles: frozenset[str] = frozenset()
    token: str = ""
    ended: bool = False
    """Whether the token stopped to hold, since the member was suspended."""

    owns: bool = False
    """Whether they are of the group whose things everybody asks for."""

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that belongs to somebody."""

    kind: str
    """The name of the path parameter that takes its id."""

    id: str
    sides: Mapping[str, str]
    """Side (client, talent, owner) → member id."""

    readers: frozenset[str] | None
    """The members who see it; None is everybody."""

    state: str = ""

    def seen_by(self, actor: Actor) -> bool:
        return self.readers is None or actor.member_id in self.readers


@dataclass(frozen=True, slots=True)
class Secret:
    """A text or a number that only these members may find in an answer."""

    value: str | int
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    method: str
    target: str
    body: Any = None
    token: str = ""
    key: str = ""
    streams: bool = False

    @property
    def text(self) -> str:
        return f"{self.method} {self.target} {self.body!r}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    media_type: str
    headers: Mapping[str, str]
    text: str


Send = Callable[[Sent], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One request of the matrix and what has to come of it."""

    operation: Operation
    actor: Actor
    resource: Resource | None
    variation: str
    sent: Sent
    expected: frozenset[int]
    field: str = ""
    """The extra field that a 422 has to name."""

    empty: bool = False
    """Whether a page has to have no items."""

    @property
    def name(self) -> str:
        at = f" on {self.resource.kind}({self.resource.state})" if self.resource else ""
        return f"{self.operation.id} by {self.actor.name}{at} [{self.variation}]"


@dataclass(slots=True)
class World:
    """Everybody, everything that belongs to the first group, and every secret of either group."""

    actors: list[Actor]
    resources: dict[str, list[Resource]]
    secrets: list[Secret]
    references: dict[str, tuple[str, frozenset[str]]]
    """Name of a reference field, or address → somebody's value for it, and whose it is."""

    cursors: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Operation → the cursor somebody got there, and whose it is."""

    posted: Sequence[tuple[str, Sent]] = ()
    """(member id, request): what the first group sent with an Idempotency-Key, answered 2xx."""

    credentials: Sequence[tuple[str, Any, str]] = ()
    """(operation, body, member id): proofs that prove nothing for any other member, or purpose."""

    in_the_open: Mapping[str, frozenset[str | int]] = field(default_factory=dict)
    """Operation → secrets that this one tells everybody, for it is there for that."""
