"""A cap on request bodies, whether their length is announced or not."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import PayloadTooLarge


class BodyLimit:
    """Raises PayloadTooLarge (413) inside the application once a body is larger than `max_bytes`."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._max_bytes:
                    raise PayloadTooLarge(f"A body may have {self._max_bytes} bytes")
            return message

        await self._app(scope, counted, send)
