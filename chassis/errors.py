"""Errors that a caller may see: each has an HTTP status and a stable code, and knows nothing of HTTP itself."""

from collections.abc import Sequence
from typing import Any


class DomainError(Exception):
    """Base of every error with a meaning for the caller.

    A subclass fixes `status`, `code` and `title`; the message says what is wrong in this case. `fields` become
    the `errors[]` of the problem document, `headers` go out with it.
    """

    status: int = 400
    code: str = "bad_request"
    title: str = "Bad request"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        fields: Sequence[dict[str, Any]] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.fields = list(fields)
        self.headers = headers or {}


class BadRequest(DomainError):
    """The request cannot be read: malformed JSON, missing header, bad cursor."""


class Unauthorized(DomainError):
    """No token, or one (or a signature) that does not hold."""

    status, code, title = 401, "unauthorized", "Authentication required"

    def __init__(self, detail: str = "", **more: Any) -> None:
        more.setdefault("headers", {"WWW-Authenticate": "Bearer"})
        super().__init__(detail, **more)


class Forbidden(DomainError):
    """A party of the resource, but not with the role this needs."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(DomainError):
    """Unknown, or not the caller's to see: the two look the same from outside."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(DomainError):
    """The request contradicts what already is."""

    status, code, title = 409, "conflict", "Conflict"


class InvalidState(Conflict):
    """The resource is not in a state that allows this transition."""

    code, title = "invalid_state", "Not possible in this state"


class PreconditionFailed(DomainError):
    """`If-Match` names another version than the current one."""

    status, code, title = 412, "precondition_failed", "The resource has changed"


class PayloadTooLarge(DomainError):
    """The body is over the cap."""

    status, code, title = 413, "payload_too_large", "Body too large"


class UnsupportedMediaType(DomainError):
    """A body that is not application/json."""

    status, code, title = 415, "unsupported_media_type", "Send application/json"


class Unprocessable(DomainError):
    """Well-formed, but a field has a value it may not have."""

    status, code, title = 422, "invalid_fields", "Invalid fields"

    @classmethod
    def field(cls, name: str, message: str, *, code: str | None = None, where: str = "body") -> "Unprocessable":
        """One wrong field, named by `where` and `name`, with the message as detail."""
        return cls(message, code=code, fields=[{"loc": [where, name], "msg": message, "type": code or "value_error"}])


class TooManyRequests(DomainError):
    """Over a rate limit; `Retry-After` says when to come back."""

    status, code, title = 429, "rate_limited", "Too many requests"


class Unavailable(DomainError):
    """Something this service depends on is down; the same request may work later."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "", **more: Any) -> None:
        more.setdefault("headers", {"Retry-After": "1"})
        super().__init__(detail, **more)
