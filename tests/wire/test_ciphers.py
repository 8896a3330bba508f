"""Which cipher a connection gets: of the good ones, the one that the client likes best."""

import ssl

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki

CIPHERS = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305")


def client(*ciphers: str) -> ssl.SSLContext:
    """A client of TLS 1.2, as the order of TLS 1.3's ciphers cannot be set in Python."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(ciphers))
    return context


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Shake hands in memory and return the client's side. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = set(sides)
    for _ in range(8):
        for side in [side for side in sides if side in waiting]:
            try:
                side.do_handshake()
                waiting.discard(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return sides[0]


@pytest.fixture(scope="module")
def server() -> ssl.SSLContext:
    clock = RealClock()
    pair = pki.issue_server(pki.make_ca("ca", clock.now()), "server", ["127.0.0.1"], clock.now())
    return pki.server_context(pair, None)


@pytest.mark.parametrize("first", CIPHERS)
def test_the_client_chooses(server: ssl.SSLContext, first: str) -> None:
    others = [cipher for cipher in CIPHERS if cipher != first]
    found = shaken(server, client(first, *others)).cipher()
    assert found is not None
    assert found[0] == first


def test_but_not_a_weak_one(server: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(server, client("ECDHE-ECDSA-AES128-SHA"))
