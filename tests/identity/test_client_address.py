"""Whose request it is, when it came through proxies whose addresses nobody knows beforehand."""

from ipaddress import ip_network

import pytest
from fastapi import Request

from services.identity.routes.resources import client_address

PODS = [ip_network("10.244.0.0/16"), ip_network("127.0.0.1")]


def request_from(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", ", ".join(forwarded).encode())] if forwarded else []
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.unit
@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.5", (), "203.0.113.5"),
        ("203.0.113.5", ("198.51.100.1",), "203.0.113.5"),  # a stranger may claim what it likes
        ("127.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.244.3.7", ("198.51.100.1",), "198.51.100.1"),  # the gateway is some pod
        ("10.244.3.7", ("198.51.100.1", "10.244.9.9"), "198.51.100.1"),  # behind an ingress, which is one too
        ("10.244.3.7", ("6.6.6.6", "198.51.100.1"), "198.51.100.1"),  # what was forged stands further left
        ("10.244.3.7", (), "10.244.3.7"),
        ("10.244.3.7", ("nonsense",), "nonsense"),
        ("10.245.0.1", ("198.51.100.1",), "10.245.0.1"),
    ],
)
def test_the_caller_is_the_last_address_that_is_not_a_trusted_proxy(
    peer: str, forwarded: tuple[str, ...], caller: str
) -> None:
    assert client_address(request_from(peer, *forwarded), PODS) == caller
