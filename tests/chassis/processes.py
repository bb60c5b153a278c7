"""The product's own processes, for tests: started as they are in production, ended by their id."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """One process and what it wrote to standard error."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.errors = ""

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, *, seconds: float = 40.0) -> int:
        """The exit code."""
        _, errors = await asyncio.wait_for(self.process.communicate(), seconds)
        self.errors += errors.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def until_up(self, path: str = "/healthz") -> None:
        async with httpx.AsyncClient() as client:
            for _ in range(600):
                if self.process.returncode is not None:
                    raise AssertionError((await self.process.communicate())[1].decode()[-2000:])
                try:
                    if (await client.get(self.url + path, timeout=5)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise AssertionError(f"{self.url}{path} did not answer 200")


async def start(module: str, *arguments: str, port: int = 0, **environment: str) -> Running:
    """Start `python -m module`; its settings are `environment` and nothing of the caller's but the path."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        limit=2**24,
    )
    return Running(process, port)


async def start_service(name: str, **environment: str) -> Running:
    """Start a service of the network on a free port."""
    port = free_port()
    more = {f"{name.upper()}_PORT": str(port), "INTERNAL_SECRET": "s" * 40, **environment}
    return await start("chassis.serve", f"services.{name}.app:build", port=port, **more)


async def start_gateway(**environment: str) -> Running:
    """Start the gateway on a free port."""
    port = free_port()
    more = {"GATEWAY_PORT": str(port), "INTERNAL_SECRET": "s" * 40, **environment}
    return await start("gateway", port=port, **more)


@asynccontextmanager
async def until_done(*processes: Running) -> AsyncIterator[None]:
    """Whatever happens inside, none of them is left."""
    try:
        yield
    finally:
        for running in processes:
            if running.process.returncode is None:
                running.process.kill()
                await running.process.communicate()
