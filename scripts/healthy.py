"""The health check of a container: exit code 0 when a URL answers 200, else 1 and why. The standard library only.

Usage: python -m scripts.healthy [URL]; without one `HEALTH_URL` says it. A node's URL is asked for its chain id.
"""

import os
import sys
import urllib.error
import urllib.request

CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def problem_of(url: str) -> str:
    """What is wrong with the process that listens at `url`; empty when nothing is."""
    is_node = not url.partition("://")[2].partition("/")[2]
    headers = {"content-type": "application/json"} if is_node else {}
    request = urllib.request.Request(url, data=CHAIN_ID if is_node else None, headers=headers)  # noqa: S310 - ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=4) as answer:
            body = answer.read(4_096)
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    return "" if not is_node or b'"result"' in body else f"{url} is not a node"


def main(arguments: list[str]) -> int:
    """Command line."""
    url = arguments[0] if arguments else os.environ.get("HEALTH_URL", "")
    if problem := problem_of(url) if url else "HEALTH_URL is not set":
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
