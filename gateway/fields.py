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
