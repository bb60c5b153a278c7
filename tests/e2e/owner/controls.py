"""The control of the owner matrix: each change is done by somebody who may, on what others were refused."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from scripts.api import PASSWORD
from tests.e2e.owner.cells import body_of, request, targets
from tests.e2e.owner.model import Actor, Resource
from tests.e2e.owner.oracle import Judge
from tests.e2e.owner.rules import NETWORK, OK, may
from tests.e2e.owner.surface import Operation
from tests.e2e.owner.world import Played

LAST = ("withdraw_bid", "close_job", "end_engagement", "end_current_session", "suspend_member")
"""What ends something that other controls need."""

REFUSED_TO_ALL = {"create_onchain_vote": 409}
"""What nobody can do yet: the Governor has no proposal to vote on."""

Crafted = tuple[Actor, Any]


@dataclass(slots=True)
class Controls:
    """One network's changes, done."""

    played: Played
    judge: Judge

    async def run(self, surface: list[Operation]) -> int:
        """Do every change once; how many.

        Raises: AssertionError naming the change that nobody could make.
        """
        changes = [operation for operation in surface if not operation.reads]
        for operation in sorted(changes, key=lambda one: LAST.index(one.id) if one.id in LAST else -1):
            await self._do(operation)
        return len(changes)

    async def _do(self, operation: Operation) -> None:
        answers = []
        async for actor, resource, body in self._tries(operation):
            sent = request(NETWORK, operation, actor, resource.id if resource else "", body=body)
            answer = await self.judge.send(sent)
            if answer.status in OK or answer.status == REFUSED_TO_ALL.get(operation.id):
                return
            answers.append(
                f"{actor.name} on {resource.state if resource else 'nothing'}: {answer.status} {answer.text[:200]}"
            )
        raise AssertionError("\n".join([f"{operation.id}: nobody could do it", *answers]))

    async def _tries(self, operation: Operation) -> Any:
        crafted = self._crafts().get(operation.id)
        if crafted is not None:
            actor, body = await crafted()
            yield actor, targets(self.played.world, operation)[0], body
            return
        for actor, resource in self._who_may(operation):
            yield actor, resource, body_of(operation)

    def _who_may(self, operation: Operation) -> Iterator[tuple[Actor, Resource | None]]:
        for resource in targets(self.played.world, operation):
            for actor in self.played.world.actors:
                if actor.token and may(NETWORK, operation, actor, resource):
                    yield actor, resource

    def _crafts(self) -> dict[str, Callable[[], Awaitable[Crafted]]]:
        return {
            "register_member": self._register,
            "create_session": self._log_in,
            "refresh_session": self._refresh,
            "create_wallet_session": self._log_in_by_wallet,
            "end_current_session": self._log_out,
            "link_wallet": self._link,
            "set_payout_wallet": self._choose,
            "create_proposal": self._propose,
            "create_vote": self._vote,
            "create_onchain_vote": self._vote,
            "create_delegation": self._delegate,
        }

    async def _register(self) -> Crafted:
        example = {"password": PASSWORD, "display_name": "New", "roles": ["client"]}
        return Actor("anonymous"), {**example, "email": f"{uuid4().hex}@example.com"}

    async def _session(self) -> tuple[dict[str, Any], dict[str, Any]]:
        body = {"email": self.played.first.ada.email, "password": PASSWORD}
        return body, await self.played.first.api.call("POST", "/v1/sessions", body)

    async def _log_in(self) -> Crafted:
        body, _ = await self._session()
        return Actor("anonymous"), body

    async def _refresh(self) -> Crafted:
        _, session = await self._session()
        return Actor("anonymous"), {"refresh_token": session["refresh_token"]}

    async def _log_out(self) -> Crafted:
        _, session = await self._session()
        return Actor("ada a, elsewhere", self.played.first.ada.id, token=session["access_token"]), None

    async def _log_in_by_wallet(self) -> Crafted:
        ada = self.played.first.ada
        asked = await ada.api.call(
            "POST", "/v1/wallet-challenges", {"address": ada.wallet.address, "purpose": "sign_in"}
        )
        return Actor("anonymous"), {"message": asked["message"], "signature": ada.sign_text(asked["message"])}

    async def _ada(self) -> Actor:
        ada = self.played.first.ada
        return Actor("ada a", ada.id, frozenset(ada.roles), await ada.token())

    async def _link(self) -> Crafted:
        """With the very message that everybody else was refused with."""
        return await self._ada(), self.played.first.challenges["ada"]

    async def _choose(self) -> Crafted:
        return await self._ada(), {"address": self.played.first.ada.wallet.address}

    async def _propose(self) -> Crafted:
        actions = [{"kind": "parameter", "name": "connector_reward_bps", "value": 120}]
        proposer = self.played.first.ada.wallet.address
        return await self._ada(), {"title": "Less", "body": "A little.", "proposer": proposer, "actions": actions}

    async def _vote(self) -> Crafted:
        ada, proposal = self.played.first.ada, self.played.proposal
        path = f"/v1/proposals/{proposal['id']}/ballot?voter={ada.wallet.address}&choice=for"
        signature = ada.sign_typed(await ada.api.call("GET", path))
        return Actor("anonymous"), {"voter": ada.wallet.address, "choice": "for", "signature": signature}

    async def _delegate(self) -> Crafted:
        ben = self.played.first.ben
        address = ben.wallet.address
        path = f"/v1/delegations/typed-data?delegator={address}&delegatee={address}"
        typed = await ben.api.call("GET", path)
        terms = {name: typed["message"][name] for name in ("nonce", "expiry")}
        signature = ben.sign_typed(typed)
        return Actor("anonymous"), {"delegator": address, "delegatee": address, **terms, "signature": signature}
