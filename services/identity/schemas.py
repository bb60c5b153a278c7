"""Bodies of identity's requests and answers."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from chassis.clock import Timestamp
from chassis.signatures import AddressInvalid, parse_address
from chassis.web import ReadModel, StrictModel
from events.identity import Role
from services.identity.domain.members import DISPLAY_NAME_MAX
from services.identity.domain.passwords import PASSWORD_MAX, PASSWORD_MIN

SelfServiceRole = Literal["client", "talent", "connector"]
Email = Annotated[str, StringConstraints(min_length=3, max_length=320)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=DISPLAY_NAME_MAX)]
Code = Annotated[str, StringConstraints(max_length=64)]
# what is signed or secret is taken to the byte, blanks at its ends included
NewPassword = Annotated[
    str, StringConstraints(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX, strip_whitespace=False)
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=PASSWORD_MAX, strip_whitespace=False)]
Message = Annotated[str, StringConstraints(min_length=1, max_length=4_096, strip_whitespace=False)]
Signature = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]


def _checked_address(text: str) -> str:
    try:
        return parse_address(text)
    except AddressInvalid as error:
        raise ValueError(error.detail) from error


Address = Annotated[
    str,
    StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$"),
    AfterValidator(_checked_address),
    Field(examples=["0x52908400098527886E0F7030069857D2E4169EE7"]),
]
"""Any spelling of an address in; EIP-55 inside."""

_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_MEMBER = "0192f3a4-5b6c-7d8e-9f00-112233445566"
_TIME = "2026-11-22T12:00:00Z"


class MemberCreate(StrictModel):
    """Who wants to join."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "ada@example.com",
                    "password": "correct horse battery",
                    "display_name": "Ada",
                    "roles": ["talent"],
                }
            ]
        }
    )

    email: Email
    password: NewPassword
    display_name: DisplayName
    roles: list[SelfServiceRole] = Field(max_length=10)
    referral_code: Code | None = None


class MemberUpdate(StrictModel):
    """What a member may change of their profile; a field that is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Ada L."}]})

    display_name: DisplayName = ""  # never used as a name: the default says "left out"


class RolesUpdate(StrictModel):
    """The whole set of roles a member is to have."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"roles": ["talent", "screener"]}]})

    roles: list[Role] = Field(max_length=10)


class MemberRead(ReadModel):
    """A member, as they and administrators see them."""

    id: UUID = Field(examples=[_MEMBER])
    status: Literal["active", "suspended"]
    email: str = Field(examples=["ada@example.com"])
    display_name: str = Field(examples=["Ada"])
    roles: list[Role]
    referral_code: str = Field(examples=["7KQ2MWX9PA"], description="What a member gives to people they bring")
    referred_by: UUID | None = Field(description="Who brought this member; fixed at registration")
    created_at: Timestamp = Field(examples=[_TIME])


class ProfileRead(ReadModel):
    """A member, as everybody sees them."""

    id: UUID = Field(examples=[_MEMBER])
    status: Literal["active", "suspended"]
    display_name: str = Field(examples=["Ada"])
    roles: list[Role]
    created_at: Timestamp = Field(examples=[_TIME])


class ReferralRead(ReadModel):
    """One member whom the caller brought."""

    id: UUID
    status: Literal["attributed"] = "attributed"
    referred_member_id: UUID = Field(examples=[_MEMBER])
    attributed_at: Timestamp
    created_at: Timestamp


class SessionCreate(StrictModel):
    """A log-in by password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: Password


class SessionRefresh(StrictModel):
    """A refresh token, which works once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "f3…"}]})

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=512, strip_whitespace=False)]


class SignedMessage(StrictModel):
    """A challenge's message, unchanged, and its EIP-191 signature."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "127.0.0.1:8080 wants you to sign in …", "signature": "0x…"}]}
    )

    message: Message
    signature: Signature


class SessionRead(ReadModel):
    """A session with fresh tokens."""

    id: UUID
    status: Literal["active"]
    member_id: UUID = Field(examples=[_MEMBER])
    access_token: str = Field(description="JWT (ES256, at+jwt)")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - its kind, not a secret
    expires_in: int = Field(description="Seconds the access token lives", examples=[900])
    refresh_token: str = Field(description="Gives new tokens once; using it twice ends the session")
    created_at: Timestamp
    expires_at: Timestamp = Field(description="Until when the session can be refreshed")


class SessionInfo(ReadModel):
    """The session of the access token."""

    id: UUID
    status: Literal["active"] = "active"
    member_id: UUID
    created_at: Timestamp
    expires_at: Timestamp


class ChallengeCreate(StrictModel):
    """For which address and what a message is to be signed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": _ADDRESS, "purpose": "sign_in"}]})

    address: Address
    purpose: Literal["sign_in", "link"]


class ChallengeRead(ReadModel):
    """A message to sign once (EIP-4361), until it expires."""

    id: UUID
    status: Literal["open", "used"]
    purpose: Literal["sign_in", "link"]
    address: str = Field(examples=[_ADDRESS])
    message: str
    expires_at: Timestamp
    created_at: Timestamp


class WalletRead(ReadModel):
    """A linked wallet."""

    id: UUID
    status: Literal["linked"] = "linked"
    address: str = Field(examples=[_ADDRESS], description="EIP-55")
    created_at: Timestamp


class PayoutWalletUpdate(StrictModel):
    """Which of the caller's wallets is to be paid."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": _ADDRESS}]})

    address: Address


class PayoutWalletRead(ReadModel):
    """A choice of payout wallet."""

    id: UUID
    status: Literal["active", "pending"]
    address: str = Field(examples=[_ADDRESS], description="EIP-55")
    effective_at: Timestamp
    created_at: Timestamp


class Jwk(ReadModel):
    """The public half of a signing key."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str = Field(description="RFC 7638 thumbprint")
    use: Literal["sig"]
    alg: Literal["ES256"]


class JwksRead(ReadModel):
    """The keys that sign access tokens, now and next. Source: RFC 7517."""

    keys: list[Jwk]


class StreamEvent(ReadModel):
    """The `data` of one event of a stream: what happened, as far as it is the reader's to see."""

    id: UUID = Field(description="Of the event: the same for everybody it concerns")
    type: str = Field(description="As in `event`; see /asyncapi.json", examples=["jobs.transaction.completed.v1"])
    time: Timestamp
    subject: str = Field(description="The id of what it happened to")
    sequence: str = Field(description="1, 2, 3 … for each subject of one kind", examples=["1"])
    data: dict[str, Any] = Field(description="Fields of the event; more may come")


class AttributionRead(ReadModel):
    """Internal: a member's roles and connector."""

    member_id: UUID = Field(validation_alias="id")
    roles: list[Role]
    connector_id: UUID | None = Field(validation_alias="referred_by")
    attributed_at: Timestamp | None
    registered_at: Timestamp = Field(validation_alias="created_at")


class MemberWalletsRead(ReadModel):
    """Internal: a member's linked addresses, the one that is paid, and one that is to be."""

    member_id: UUID
    addresses: list[str]
    payout_wallet: str | None
    payout_effective_at: Timestamp | None
    pending_payout_wallet: str | None
    pending_effective_at: Timestamp | None


class WalletOwnerRead(ReadModel):
    """Internal: whose an address is."""

    address: str
    member_id: UUID


class RevocationRead(ReadModel):
    """Internal: one entry of the feed."""

    kind: Literal["session", "member", "reinstated"]
    id: UUID = Field(validation_alias="subject_id")
    at: Timestamp


class RevocationsRead(ReadModel):
    """Internal: what was revoked since a cursor, and the cursor behind it."""

    items: list[RevocationRead]
    next: str
