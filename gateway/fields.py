"""Header fields that an answer gets beside its own, made once, in both forms in which the data planes write them."""


class Fields:
    """Some header fields; names are in lower case, values were checked by whoever makes them."""

    __slots__ = ("lines", "pairs")

    def __init__(self, *pairs: tuple[bytes, bytes]) -> None:
        self.pairs = pairs
        self.lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        """As bytes of a head, each with its line's end."""

    def __add__(self, more: "Fields") -> "Fields":
        """Both, in this order."""
        return Fields(*self.pairs, *more.pairs) if more.pairs else self


NO_FIELDS = Fields()


class DefaultFields:
    """A server's own headers as lines. They change when its list does: uvicorn makes one every second, for the date."""

    __slots__ = ("_headers", "_lines")

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of `headers`."""
        if headers is not self._headers:
            self._headers = headers
            self._lines = Fields(*headers).lines
        return self._lines
