"""What a running governance service holds open: its chain client, the relay, and threads that check signatures."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.chain.client import ChainClient
from chassis.chain.indexer import LogIndexer
from chassis.chain.key_loading import load_key
from chassis.chain.keys import Key
from chassis.chain.rpc import JsonRpc
from chassis.chain.tx_manager import TxManager
from chassis.errors import TooManyRequests
from chassis.http import HttpClient
from chassis.signatures import SignatureInvalid, recover_digest
from services.governance.chain.contracts import Contracts
from services.governance.settings import GovernanceSettings


class SignatureChecks:
    """Checks signatures in a few threads, so that the event loop stays free, with a bounded queue before them."""

    def __init__(self, *, threads: int, backlog: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="signatures")
        self._backlog = backlog
        self._waiting = 0

    async def recover(self, digest: bytes, signature: str) -> str:
        """The address that signed `digest`. Raises: SignatureInvalid; TooManyRequests when too many wait."""
        if self._waiting >= self._backlog:
            raise TooManyRequests("Too many signatures wait to be checked", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, recover_digest, digest, signature)
        finally:
            self._waiting -= 1

    async def require(self, digest: bytes, signature: str, *, signer: str) -> None:
        """Nothing if `signer` signed `digest`. Raises: SignatureInvalid; TooManyRequests."""
        if await self.recover(digest, signature) != signer:
            raise SignatureInvalid(f"This is not {signer}'s signature over what was to be signed")

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)


@dataclass(slots=True)
class Resources:
    """Opened at start, closed at stop."""

    client: ChainClient
    contracts: Contracts
    signatures: SignatureChecks
    key: Key | None
    """The relay's key; None in an api process, or when none is configured: delegations are then refused."""

    votes_indexer: LogIndexer | None = None
    parameters_indexer: LogIndexer | None = None
    relay: TxManager | None = None
    """What the workers drive, set at start."""


@asynccontextmanager
async def open_resources(settings: GovernanceSettings) -> AsyncIterator[Resources]:
    """The resources of one process; the node need not be there yet. Raises: KeyRefused for an unusable key;
    ValueError when a contract's address is not set."""
    for name in ("btrst_address", "parameters_address", "governor_address"):
        if not getattr(settings, name):
            raise ValueError(f"GOVERNANCE_{name.upper()} is not set: deploy the contracts and name them")
    client = ChainClient(JsonRpc([url.strip() for url in settings.chain_rpc_urls.split(",") if url.strip()]))
    http = HttpClient(timeout_seconds=5.0)  # for a key on another machine
    signatures = SignatureChecks(threads=settings.signature_threads, backlog=settings.signature_backlog)
    contracts = Contracts(client, btrst=settings.btrst_address, network_parameters=settings.parameters_address)
    try:
        yield Resources(client, contracts, signatures, await asyncio.to_thread(relay_key, settings, http))
    finally:
        signatures.close()
        await client.close()
        await http.close()


def relay_key(settings: GovernanceSettings, http: HttpClient) -> Key | None:
    """The relay's key; None when none is named, and in an api process, which takes delegations for the worker to sign.
    Raises: KeyRefused."""
    return None if settings.role == "api" else load_key(settings, "GOVERNANCE_", http)
