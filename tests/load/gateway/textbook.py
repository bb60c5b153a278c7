"""The gateway of the tutorials: a FastAPI route that calls the service with httpx."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:1")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole process, as httpx's manual recommends."""
    async with httpx.AsyncClient(base_url=UPSTREAM) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def forward(path: str, request: Request) -> Response:
    """What the service answers."""
    client: httpx.AsyncClient = request.app.state.client
    headers = [(name, value) for name, value in request.headers.raw if name not in (b"host", b"connection")]
    answer = await client.request(
        request.method, f"/{path}", params=request.query_params, content=await request.body(), headers=headers
    )
    kept = {name: value for name, value in answer.headers.items() if name not in ("connection", "transfer-encoding")}
    return Response(answer.content, status_code=answer.status_code, headers=kept)
