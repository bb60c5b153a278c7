"""Calls to other services: whose wallet an address is, asked of identity."""

from uuid import UUID

from chassis.auth import internal_token
from chassis.http import HttpClient, HttpUnavailable
from services.governance.errors import IdentityUnavailable


async def find_wallet_owner(http: HttpClient, *, identity_url: str, internal_secret: str, address: str) -> UUID | None:
    """The member an address is linked to, None when it is nobody's. Raises: IdentityUnavailable."""
    url = f"{identity_url.rstrip('/')}/internal/wallets/{address}"
    headers = {"Authorization": f"Bearer {internal_token(internal_secret, 'identity')}"}
    try:
        answer = await http.get_json(url, headers)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise IdentityUnavailable(f"identity answered {answer.status}")
        return UUID(answer.json()["member_id"])
    except (HttpUnavailable, ValueError, KeyError, TypeError) as error:
        raise IdentityUnavailable from error
