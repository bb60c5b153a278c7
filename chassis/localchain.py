"""The local chain of development and tests: anvil as a child process, and the ticker that mines its blocks."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chassis.chain.errors import RpcError, RpcUnavailable
from chassis.chain.rpc import JsonRpc

CHAIN_ID = 31337
STATE_SECONDS = 2
_ROOT = Path(__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1

Deadlines = Callable[[], Iterable[int]]


class LocalChainError(Exception):
    """The local chain cannot be started; the message says what to do."""


def find_anvil(root: Path = _ROOT) -> Path:
    """The anvil binary: what ANVIL names, the platform's npm package (needs no Node), npm's link, or the PATH.

    Raises: LocalChainError when there is none.
    """
    if named := os.environ.get("ANVIL"):
        if not os.access(named, os.X_OK):
            raise LocalChainError(f"ANVIL={named} is not a program: unset it, or name the anvil to use")
        return Path(named)
    packages = root / "node_modules" / "@foundry-rs"
    for candidate in sorted(packages.glob("anvil-*/bin/anvil")):
        if os.access(candidate, os.X_OK):
            return candidate
    linked = root / "node_modules" / ".bin" / "anvil"
    found = str(linked) if linked.exists() else shutil.which("anvil")
    if found is None:
        raise LocalChainError("anvil is missing: run `npm ci` in the checkout, or set ANVIL to its path")
    return Path(found)


def anvil_command(binary: Path, *, port: int, state_file: Path, host: str = "127.0.0.1") -> list[str]:
    """The command line: no mining of its own, finality two blocks behind, state kept in one file."""
    command = [str(binary), "--host", host, "--port", str(port), "--no-mining"]
    command += ["--slots-in-an-epoch", "1", "--state", str(state_file)]
    return [*command, "--state-interval", str(STATE_SECONDS), "--enable-tx-gas-limit", "-q"]


def start_anvil(
    binary: Path, *, port: int, state_file: Path, log_file: Path, host: str = "127.0.0.1"
) -> subprocess.Popen[bytes]:
    """Start anvil; it ends, saving its state, when this process ends in whatever way."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    with log_file.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own binary and arguments
            anvil_command(binary, port=port, state_file=state_file, host=host),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor first, which stops it last
            preexec_fn=die_with_parent,  # noqa: PLW1509 - two system calls, nothing of Python's threads
        )


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_port_free(port: int) -> bool:
    """Whether nobody listens on this TCP port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def restore_state(state_file: Path) -> None:
    """Put the last whole state in place when anvil was killed while writing.

    A chain without any whole state starts empty; whoever remembers the old one then refuses to sign.
    """
    previous = _previous(state_file)
    if state_file.exists() and not _is_whole(state_file):
        state_file.replace(state_file.with_suffix(".broken"))
        if previous.exists():
            shutil.copyfile(previous, state_file)
    if state_file.exists():
        _keep_one_genesis(state_file)


def _keep_one_genesis(state_file: Path) -> None:
    """Every start of anvil adds a block 0 of its own to the state, and any of them may win at the next start.

    The chain's is the oldest: without the others, who pinned its hash finds it again.
    """
    state = json.loads(state_file.read_bytes())
    first = [block for block in state["blocks"] if int(block["header"]["number"], 16) == 0]
    if len(first) < 2:
        return
    oldest = min(first, key=lambda block: int(block["header"]["timestamp"], 16))
    state["blocks"] = [block for block in state["blocks"] if block is oldest or block not in first]
    copy = state_file.with_suffix(".pruned")
    copy.write_text(json.dumps(state, separators=(",", ":")))
    copy.replace(state_file)


class Ticker:
    """Mines a block when there is something to put in it, something to bury, or a moment to reach.

    That is: while the pool has transactions; while the tip is less than `confirmations` + 4 past the last block
    with any; and when a registered deadline (Unix seconds; a vote's end, a timelock) has come. Deadlines are
    read from the callable and from a file with one per line.
    """

    def __init__(
        self,
        rpc: JsonRpc,
        *,
        block_seconds: float = 0.5,
        confirmations: int = 2,
        deadlines: Deadlines | None = None,
        deadlines_file: Path | None = None,
    ) -> None:
        self._rpc = rpc
        self._block_seconds = block_seconds
        self._bury = confirmations + 4
        self._deadlines = deadlines
        self._deadlines_file = deadlines_file
        self._last_busy: int | None = None

    async def run(self) -> None:
        """Tick until cancelled; a node that is away is waited for."""
        while True:
            with contextlib.suppress(RpcUnavailable, RpcError):
                await self.tick()
            await asyncio.sleep(self._block_seconds)

    async def tick(self) -> bool:
        """Mine one block if a rule asks for it; whether it did.

        Raises: RpcUnavailable, RpcError.
        """
        pool, tip = await self._rpc.batch([("txpool_status", ()), ("eth_getBlockByNumber", ("latest", False))])
        for answer in (pool, tip):
            if isinstance(answer, RpcError):
                raise answer
        number, timestamp = int(tip["number"], 16), int(tip["timestamp"], 16)
        if self._last_busy is None or self._last_busy > number:
            self._last_busy = number  # not known after a start: bury what is there
        has_transactions = int(pool["pending"], 16) > 0
        is_due = self._is_deadline_due(timestamp)
        if not (has_transactions or is_due or number < self._last_busy + self._bury):
            return False
        await self._rpc.call("evm_mine")
        # Not what the pool held a moment ago: a transaction may have slipped in between.
        mined = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        if mined["transactions"] or is_due:
            self._last_busy = int(mined["number"], 16)
        return True

    def _is_deadline_due(self, tip_timestamp: int) -> bool:
        now = int(time.time())
        return any(tip_timestamp <= deadline < now for deadline in self._read_deadlines())

    def _read_deadlines(self) -> list[int]:
        found = list(self._deadlines()) if self._deadlines else []
        if self._deadlines_file is not None:
            with contextlib.suppress(OSError):
                found += [int(line) for line in self._deadlines_file.read_text().split() if line.isdecimal()]
        return found


class LocalChain:
    """Anvil with its state under `folder`, and its ticker. `port` 0 picks a free one, kept over restarts.

    `host` is where others reach it: anything but loopback is for a container, where nobody else is.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        block_seconds: float = 0.5,
        confirmations: int = 2,
        deadlines: Deadlines | None = None,
        deadlines_file: Path | None = None,
        mine: bool = True,
    ) -> None:
        self._folder = Path(folder)
        self._host = host
        self.port = port
        self._mine = mine
        self._ticker_options: dict[str, Any] = {
            "block_seconds": block_seconds,
            "confirmations": confirmations,
            "deadlines": deadlines,
            "deadlines_file": deadlines_file,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._rpc: JsonRpc | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """Where the node listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_file(self) -> Path:
        """Where the node saves the chain."""
        return self._folder / "anvil-state.json"

    @property
    def pid(self) -> int | None:
        """The node's process id, while it has been started."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the node's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def rpc(self) -> JsonRpc:
        """A client of the node.

        Raises: LocalChainError before the start.
        """
        if self._rpc is None:
            raise LocalChainError("the local chain has not been started")
        return self._rpc

    async def start(self) -> str:
        """Start the node on its saved state, or empty; returns its URL once it answers.

        Raises: LocalChainError when it does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        if not is_port_free(self.port):
            # Whoever listens there would answer in anvil's place.
            raise LocalChainError(f"port {self.port} is taken: stop what listens there, or choose another port")
        state_file = self.state_file
        await asyncio.to_thread(restore_state, state_file)
        log_file = self._folder / "anvil.log"
        self._process = start_anvil(
            find_anvil(), port=self.port, state_file=state_file, log_file=log_file, host=self._host
        )
        self._rpc = JsonRpc([self.url], timeout_seconds=10.0)
        await self._wait_until_ready()
        await self._set_time()
        self._tasks = [asyncio.create_task(self._keep_whole_states(state_file))]
        if self._mine:
            self._tasks.append(asyncio.create_task(Ticker(self._rpc, **self._ticker_options).run()))
        return self.url

    async def saved(self) -> None:
        """Wait until what the chain holds now is on disk: after a deployment, that a kill cannot undo it.

        Raises: LocalChainError when the node does not save.
        """
        state_file = self.state_file
        begun_after = time.time() + 0.5  # a write under way may hold an older state
        give_up_at = time.monotonic() + 10 * STATE_SECONDS
        while await asyncio.to_thread(_mtime, state_file) < begun_after:
            if time.monotonic() > give_up_at:
                raise LocalChainError(f"anvil does not save its state to {state_file}: is the disk full?")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop the node in order: its state is saved."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Stop the node with SIGKILL: what it had not saved yet is lost."""
        await self._end(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _end(self, how: signal.Signals) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._rpc is not None:
            await self._rpc.close()
            self._rpc = None
        if self._process is not None:
            await asyncio.to_thread(_end_process, self._process, how)
            self._process = None

    async def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 30
        while time.monotonic() < give_up_at:
            if not self.is_running:
                break
            with contextlib.suppress(RpcUnavailable):
                if int(await self.rpc.call("eth_chainId"), 16) == CHAIN_ID:
                    return
            await asyncio.sleep(0.05)
        log_file = self._folder / "anvil.log"
        await self._end(signal.SIGKILL)
        raise LocalChainError(f"anvil did not come up on port {self.port}: see {log_file}")

    async def _set_time(self) -> None:
        """Chain time goes on from the later of now and the saved tip, or checkpoints would revert."""
        tip = await self.rpc.call("eth_getBlockByNumber", "latest", False)
        next_at = max(int(time.time()), int(tip["timestamp"], 16) + 1)
        await self.rpc.call("evm_setNextBlockTimestamp", next_at)

    async def _keep_whole_states(self, state_file: Path) -> None:
        """Anvil writes its state in place: keep a copy of the last one that was whole."""
        while True:
            await asyncio.sleep(2 * STATE_SECONDS)
            await asyncio.to_thread(_copy_if_whole, state_file)


def _copy_if_whole(state_file: Path) -> None:
    copy = state_file.with_suffix(".copy")
    with contextlib.suppress(OSError):
        if _mtime(state_file) == _mtime(_previous(state_file)):
            return
        shutil.copy2(state_file, copy)
        if _is_whole(copy):
            copy.replace(_previous(state_file))


def _mtime(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _previous(state_file: Path) -> Path:
    return state_file.with_suffix(".previous")


def _is_whole(state_file: Path) -> bool:
    try:
        json.loads(state_file.read_bytes())
    except ValueError:
        return False
    return True


def _end_process(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
