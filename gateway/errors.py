"""Errors that only the edge answers with."""

from chassis.errors import DomainError


class MethodNotAllowed(DomainError):
    """The path exists, not with this method; `Allow` names those it has."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class RequestTimeout(DomainError):
    """The client took too long to send its request."""

    status, code, title = 408, "request_timeout", "The request took too long"


class TargetTooLong(DomainError):
    """The path and query are over the cap."""

    status, code, title = 414, "target_too_long", "Path and query too long"


class HeadersTooLarge(DomainError):
    """The header section is over the cap."""

    status, code, title = 431, "headers_too_large", "Headers too large"


class VersionTooOld(DomainError):
    """What is asked for cannot be said in the client's version of HTTP."""

    status, code, title = 505, "version_not_supported", "HTTP version not supported"


class ClientGone(Exception):
    """The client closed its connection; nobody is left to answer."""
