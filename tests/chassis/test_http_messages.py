"""How requests to upstreams are written, and where upstreams may be."""

import pytest

from chassis.upstreams import Origin, UpstreamRequest
from chassis.upstreams.messages import encode_head


@pytest.mark.parametrize(
    "request_",
    [
        UpstreamRequest(b"GET", b"/x HTTP/1.1\r\nx: y"),
        UpstreamRequest(b"GET", b"/x y"),
        UpstreamRequest(b"GET /", b"/x"),
        UpstreamRequest(b"GET", b"/x", ((b"a", b"b\r\nc: d"),)),
        UpstreamRequest(b"GET", b"/x", ((b"a", b"b\nc: d"),)),
        UpstreamRequest(b"GET", b"/x", ((b"a\r\nb", b"c"),)),
        UpstreamRequest(b"GET", b"/x", ((b"a", b"b\0"),)),
    ],
)
def test_what_would_break_out_of_its_line_is_not_sent(request_: UpstreamRequest) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_head(request_, b"h")


def test_a_body_has_one_framing_and_no_body_has_none() -> None:
    assert encode_head(UpstreamRequest(b"GET", b"/x"), b"h") == b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n"
    empty = encode_head(UpstreamRequest(b"POST", b"/x", ((b"content-length", b"9"),)), b"h")
    assert empty == b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("url", ["https://a", "http://a/x", "http://a?b", "//a", "http://u@a", "ftp://a", "http://"])
def test_an_origin_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="upstream's URL"):
        Origin.parse(url)
    assert Origin.parse("http://[::1]:81").authority == b"[::1]:81"
