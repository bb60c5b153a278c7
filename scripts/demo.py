"""`make demo`: start the network, play the main job through the gateway, show who earned what, then serve.

With ONCE=1 it ends after the story: 0 when every check holds, 1 with the reason when one does not.
"""

import asyncio
import os
import sys
import time

from rich.console import Console

from chassis.http import HttpClient, HttpUnavailable
from chassis.money import format_btrst
from scripts.api import Api, StoryFailed
from scripts.deploy_contracts import DeployError
from scripts.dev import print_urls, serve_until_signal, stack_from_environment
from scripts.stack import Stack, StackUnusable
from scripts.story import Story, difference_wei, play


def show(console: Console, story: Story) -> None:
    """Who earned what, where it can be looked up."""
    console.print("\n  Rewards of the first transaction")
    for person, reward in zip((story.ada, story.ben), story.rewards, strict=True):
        btrst = format_btrst(int(reward["minted_wei"]))
        console.print(f"    {person.name} ({reward['side']} side) {btrst} BTRST to {person.wallet.address}")
        console.print(f"      block {reward['block_number']}, chain tx {reward['chain_tx_hash']}")
    console.print()


async def perform(console: Console, stack: Stack) -> str:
    """Play the story on a running stack; the closing line of a good run.

    Raises: StoryFailed.
    """
    started = time.monotonic()
    supervision = asyncio.create_task(stack.supervise())
    steps = 0

    def say(text: str) -> None:
        nonlocal steps
        steps += 1
        console.print(f"  [green]✓[/green] {text}")

    try:
        with console.status("Playing the story through the gateway …"):
            rpc, at = stack.rpc_url, stack.deployment["contracts"]
            story, _ = await play(stack.gateway_url, rpc, at["btrst"], say)
            async with HttpClient(timeout_seconds=20.0) as http:
                last = int(await story_block(http, rpc), 16) - 4
                difference = await difference_wei(Api(stack.gateway_url, http), last)
    finally:
        supervision.cancel()
    show(console, story)
    minted = sum(int(reward["minted_wei"]) for reward in story.rewards)
    return f"DEMO OK difference_wei={difference} minted_wei={minted} seconds={time.monotonic() - started:.0f}"


async def story_block(http: HttpClient, rpc_url: str) -> str:
    """The number of the newest block, in hex."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    return str((await http.post_json(rpc_url, call)).json()["result"])


async def _main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    once = os.environ.get("ONCE", "") not in {"", "0"}
    try:
        stack = stack_from_environment(console)
    except StackUnusable as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        return 1
    try:
        await stack.start()
        closing = await perform(console, stack)
        if not once:
            print_urls(console, stack)
        print(closing, flush=True)
        if not once:
            await serve_until_signal(stack)
    except (StackUnusable, DeployError) as error:
        console.print(f"[red]Cannot start:[/red] {error}")
        return 1
    except (StoryFailed, HttpUnavailable) as error:
        console.print(f"[red]DEMO FAILED:[/red] {error} (logs: {stack.run_folder / 'logs'})")
        return 1
    finally:
        await stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
