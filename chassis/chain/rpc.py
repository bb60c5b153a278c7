"""A thin JSON-RPC 2.0 client over chassis/http.py: several nodes, fail-over of reads, batches, and no hidden retries.

Source: https://www.jsonrpc.org/specification and the Ethereum execution API.
"""

import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from chassis.chain.errors import RpcError, RpcUnavailable
from chassis.http import HttpClient, HttpUnavailable

Call = tuple[str, Sequence[Any]]

# Codes that say "this node cannot serve you now", not "your request is wrong".
_BUSY_CODES = frozenset({-32005, -32097, 429})


class JsonRpc:
    """Asks the first node that answers; stays with it until it fails.

    A read that fails goes on to the next node. A send (`once=True`) is tried on one node only: whether a lost
    answer means a lost transaction is for the caller to find out.
    """

    def __init__(self, urls: Sequence[str], *, timeout_seconds: float = 5.0, http: HttpClient | None = None) -> None:
        if not urls:
            raise ValueError("CHAIN_RPC_URLS names no node")
        self._urls = list(urls)
        self._current = 0
        self._http = http or HttpClient(timeout_seconds=timeout_seconds)
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any, once: bool = False) -> Any:
        """The `result` of one call.

        Raises: RpcError when the node answers with an error; RpcUnavailable when no node answers.
        """
        body = self._request(method, params)
        answer = await self._post(body, once=once)
        if not isinstance(answer, dict):
            raise RpcUnavailable(f"{method}: the node's answer is not a JSON-RPC object")
        result = _result(answer)
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, calls: Sequence[Call], *, once: bool = False) -> list[Any]:
        """The results in the order of `calls`, in one round trip; a call that failed is its RpcError.

        Raises: RpcUnavailable when no node answers, or one leaves a call unanswered.
        """
        if not calls:
            return []
        bodies = [self._request(method, params) for method, params in calls]
        answers = await self._post(bodies, once=once)
        if not isinstance(answers, list):
            raise RpcUnavailable("the node does not answer batches")
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        missing = [body["method"] for body in bodies if body["id"] not in by_id]
        if missing:
            raise RpcUnavailable(f"the node left calls of a batch unanswered: {', '.join(missing)}")
        return [_result(by_id[body["id"]]) for body in bodies]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    async def _post(self, body: Any, *, once: bool) -> Any:
        problems = []
        for _ in range(1 if once else len(self._urls)):
            url = self._urls[self._current]
            try:
                return await self._post_to(url, body)
            except RpcUnavailable as problem:
                problems.append(str(problem))
                self._current = (self._current + 1) % len(self._urls)
        raise RpcUnavailable("; ".join(problems))

    async def _post_to(self, url: str, body: Any) -> Any:
        where = urlsplit(url).hostname  # the rest of the URL may carry a provider's key
        try:
            response = await self._http.post_json(url, body)
        except HttpUnavailable as problem:
            raise RpcUnavailable(f"node {where}: {type(problem).__name__}") from problem
        try:
            answer = response.json()
        except ValueError as problem:
            raise RpcUnavailable(f"node {where}: HTTP {response.status}, not JSON") from problem
        if _is_busy(response.status, answer):
            raise RpcUnavailable(f"node {where}: HTTP {response.status}, not serving")
        return answer


def _is_busy(status: int, answer: Any) -> bool:
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return answer["error"].get("code") in _BUSY_CODES
    return status >= 400


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        return RpcError(-32603, str(error)[:200])
    return RpcError(int(error.get("code", -32603)), str(error.get("message", ""))[:500], error.get("data"))
