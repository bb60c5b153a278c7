"""What can go wrong in identity, each with its status and stable code."""

from typing import Any

from chassis.errors import BadRequest, Conflict, Forbidden, Unauthorized, Unprocessable


class EmailTaken(Conflict):
    """Another member has this e-mail address."""

    code, title = "email_taken", "E-mail address taken"


class WalletTaken(Conflict):
    """The address is linked already: it belongs to one member, once."""

    code, title = "wallet_taken", "Wallet taken"


class InvalidField(Unprocessable):
    """One field of the body has a value it may not have. Subclasses fix the field and the code."""

    name = "body"

    def __init__(self, detail: str = "", **more: Any) -> None:
        text = detail or self.title
        more.setdefault("fields", [{"loc": ["body", self.name], "msg": text, "type": self.code}])
        super().__init__(text, **more)


class InvalidEmail(InvalidField):
    """Not the syntax of an e-mail address that can be reached from everywhere."""

    code, title, name = "invalid_email", "Not an e-mail address", "email"


class InvalidDisplayName(InvalidField):
    """Empty, too long, or with characters that cannot be seen."""

    code, title, name = "invalid_display_name", "Not a display name", "display_name"


class UnknownReferralCode(InvalidField):
    """No active member has this referral code."""

    code, title, name = "unknown_referral_code", "Unknown referral code", "referral_code"


class SelfReferral(InvalidField):
    """The referral code belongs to the same person, by normalized e-mail address."""

    code, title, name = "self_referral", "Nobody refers themselves", "referral_code"


class WalletNotLinked(InvalidField):
    """The address is not one of the member's linked wallets."""

    code, title, name = "wallet_not_linked", "Not one of your wallets", "address"


class OwnAdminRole(Conflict):
    """An administrator cannot suspend themselves or drop their own admin role: somebody must be left."""

    code, title = "own_admin_role", "Another administrator must do this"


class CredentialsInvalid(Unauthorized):
    """E-mail address and password do not belong together; which of the two is wrong is not told."""

    code, title = "credentials_invalid", "E-mail address or password is wrong"


class RefreshTokenInvalid(Unauthorized):
    """Unknown, expired, used before, or of a session that has ended."""

    code, title = "refresh_token_invalid", "The refresh token does not hold"


class ChallengeInvalid(Unauthorized):
    """Not a message given out here for this member and purpose, or signed by another key, used, or too old."""

    code, title = "challenge_invalid", "The challenge does not hold"


class WalletUnknown(Unauthorized):
    """The signature holds, but no member has linked this address."""

    code, title = "wallet_unknown", "No member has linked this wallet"


class SuspendedMember(Forbidden):
    """The member is suspended and cannot open a session."""

    code, title = "member_suspended", "The member is suspended"


class InvalidEventId(BadRequest):
    """Not an id that a stream has given."""

    code, title = "invalid_event_id", "Not an event id"
