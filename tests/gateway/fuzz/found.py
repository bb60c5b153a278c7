"""What the fuzz run found, each once: kept so that it stays mended."""

_HOST = b"Host: a\r\n"
_GET = b"GET /v1/things HTTP/1.1\r\n" + _HOST + b"\r\n"
_OPTIONS = b"OPTIONS /v1/things HTTP/1.1\r\n" + _HOST + b"\r\n"
_WRAPPED = b"2f\r\n" + _GET + b"\r\n0\r\n\r\n"
_CHUNKED = _HOST + b"Transfer-Encoding: chunked\r\n\r\n"

FOUND: dict[str, tuple[bytes, ...]] = {
    "two spaces before the target": (b"GET  /v1/things HTTP/1.1\r\n" + _HOST + b"\r\n",),
    "two spaces before the version": (b"GET /v1/things  HTTP/1.1\r\n" + _HOST + b"\r\n",),
    "two spaces behind another request": (_GET + b"GET  /v1/things HTTP/1.1\r\n" + _HOST + b"\r\n",),
    "two spaces behind a body in chunks": (
        b"POST /v1/things HTTP/1.1\r\n" + _CHUNKED + b"0\r\n\r\nGET  /v1/things HTTP/1.1\r\n" + _HOST + b"\r\n",
    ),
    "a fragment": (b"GET /v1/things#x HTTP/1.1\r\n" + _HOST + b"\r\n",),
    "another protocol that has GET": (b"GET /v1/things RTSP/1.0\r\n" + _HOST + b"\r\n",),
    "a bare carriage return before a request": (b"\r" + _GET,),
    "a bare line feed before a request": (b"\n" + _GET,),
    "CONNECT whose body holds a request": (b"CONNECT /v1/things HTTP/1.1\r\n" + _CHUNKED + _WRAPPED,),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
    "a bad body behind a request under way": (
        _OPTIONS + b"PUT /v1/things/7 HTTP/1.1\r\n" + _CHUNKED + b"2,\r\nab\r\n0\r\n\r\n",
    ),
    "a bad target behind a request under way": (
        _GET + b"PUT http://evil HTTP/1.1\r\n" + _HOST + b"Content-Length: 4\r\n\r\nabcd",
    ),
    "a request behind an upgrade": (
        b"TRACE /v1/nowhere HTTP/1.1\r\n" + _HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" + _GET,
    ),
    "a request line in pieces": (b"GET /v1/th", b"ings HTT", b"P/1.1\r\n", b"Host: a\r\n\r", b"\n"),
    "the end of chunks in pieces": (
        b"POST /v1/things HTTP/1.1\r\n" + _CHUNKED + b"2\r\n\r\n\r\n0\r\n\r", b"\n" + _GET,
    ),
}  # fmt: skip
