"""The local chain as a process of its own, as in a container: anvil, and the ticker that mines its blocks.

Usage: python -m scripts.chain FOLDER [--host ADDRESS] [--port PORT]. The chain's state is kept in FOLDER.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from chassis.localchain import LocalChain, LocalChainError


async def keep(chain: LocalChain) -> int:
    """Run the chain until SIGTERM or SIGINT (0), or until the node ends by itself (1)."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"the local chain is up: {await chain.start()}", flush=True)
    try:
        while chain.is_running and not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), timeout=1.0)
            except TimeoutError:
                continue
    finally:
        ended = not chain.is_running
        await chain.stop()
    if ended and not stop.is_set():
        print("the node ended by itself", file=sys.stderr)
        return 1
    print("the local chain has stopped, its state is saved", flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line; one line on errors."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8545)
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(keep(LocalChain(options.folder, port=options.port, host=options.host)))
    except LocalChainError as error:
        print(f"cannot start the local chain: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cannot start the local chain: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
