"""Calls to other services: identity is asked whose wallet an address is, and whether a member exists."""

from typing import Any
from uuid import UUID

from chassis.auth import internal_token
from chassis.http import HttpClient, HttpUnavailable
from services.governance.errors import IdentityUnavailable


async def find_wallet_owner(http: HttpClient, *, identity_url: str, internal_secret: str, address: str) -> UUID | None:
    """The member an address is linked to, None when it is nobody's. Raises: IdentityUnavailable."""
    found = await _ask(http, f"{identity_url.rstrip('/')}/internal/wallets/{address}", internal_secret)
    try:
        return None if found is None else UUID(found["member_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityUnavailable from error


async def is_member(http: HttpClient, *, identity_url: str, internal_secret: str, member_id: UUID) -> bool:
    """Whether identity knows the member. Raises: IdentityUnavailable."""
    url = f"{identity_url.rstrip('/')}/internal/members/{member_id}/attribution"
    return await _ask(http, url, internal_secret) is not None


async def _ask(http: HttpClient, url: str, internal_secret: str) -> Any | None:
    headers = {"Authorization": f"Bearer {internal_token(internal_secret, 'identity')}"}
    try:
        answer = await http.get_json(url, headers)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise IdentityUnavailable(f"identity answered {answer.status}")
        return answer.json()
    except (HttpUnavailable, ValueError) as error:
        raise IdentityUnavailable from error
