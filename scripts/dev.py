"""`make run`: the network on this machine, until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from scripts.deploy_contracts import DeployError
from scripts.stack import ROOT, Stack, StackUnusable
from scripts.stack_bus import BusChoice, BusUnusable


def stack_from_environment(console: Console) -> Stack:
    """A stack as the environment describes it: GATEWAY_PORT, RUN_DIR, ROLES, MODE, BUS_URL, KAFKA_BROKERS.

    Raises: StackUnusable when a setting makes no sense.
    """
    port = os.environ.get("GATEWAY_PORT", "8080")
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise StackUnusable(f"GATEWAY_PORT must be a port number, not {port!r}")
    roles = os.environ.get("ROLES", "all")
    if roles not in {"all", "split"}:
        raise StackUnusable(f"ROLES={roles} is not known: leave it out, or set it to split")
    try:
        choice = BusChoice.of(os.environ)
    except BusUnusable as error:
        raise StackUnusable(str(error)) from error
    run_folder = Path(os.environ.get("RUN_DIR", ROOT / ".run")).resolve()
    say = partial(console.print, " ")
    split = roles == "split"
    return Stack(run_folder=run_folder, gateway_port=int(port), split_roles=split, say=say, bus_choice=choice)


async def serve_until_signal(stack: Stack) -> None:
    """Supervise until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervision = asyncio.create_task(stack.supervise())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({supervision, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (supervision, stopped):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await supervision


def print_urls(console: Console, stack: Stack) -> None:
    """Where to look."""
    console.print(f"\n  API     {stack.gateway_url}/v1")
    console.print(f"  Docs    {stack.gateway_url}/docs")
    console.print(f"  OpenAPI {stack.gateway_url}/openapi.json")
    if stack.bus.address is not None:
        console.print(f"  Kafka   {stack.bus.address}")
    console.print(f"  Details {stack.endpoints_path}")
    console.print("  Ctrl-C stops it; the state stays for the next run (`make clean` removes it)\n")


async def _main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    try:
        stack = stack_from_environment(console)
    except StackUnusable as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        return 1
    try:
        await stack.start()
        print_urls(console, stack)
        await serve_until_signal(stack)
    except (StackUnusable, DeployError) as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        return 1
    finally:
        await stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
