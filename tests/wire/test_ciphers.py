"""Which cipher a connection gets: a good one, AES-128 before others, but ChaCha20 for who likes it best."""

import ssl

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import openssl, pki
from tiphys.wire.tls_options import TlsOptions

CIPHERS = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305")


def client(*ciphers: str) -> ssl.SSLContext:
    """A client of TLS 1.2, or of 1.3 without ciphers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(":".join(ciphers))
    return context


def server_context() -> ssl.SSLContext:
    clock = RealClock()
    pair = pki.issue_server(pki.make_ca("ca", clock.now()), "server", ["127.0.0.1"], clock.now())
    return pki.server_context(pair, None)


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


def chosen(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    found = shaken(server, client).cipher()
    assert found is not None
    return found[0]


@pytest.fixture(scope="module")
def server() -> ssl.SSLContext:
    return server_context()


@pytest.mark.parametrize(
    ("offered", "want"),
    [
        (CIPHERS, CIPHERS[0]),
        (CIPHERS[1::-1], CIPHERS[0]),
        ((CIPHERS[1], CIPHERS[2], CIPHERS[0]), CIPHERS[0]),
        (CIPHERS[::-1], CIPHERS[2]),
        (CIPHERS[1:], CIPHERS[1]),
    ],
    ids=["AES-128 first", "AES-256 first", "AES-128 last", "ChaCha20 first", "no AES-128"],
)
def test_what_the_server_prefers(server: ssl.SSLContext, offered: tuple[str, ...], want: str) -> None:
    assert chosen(server, client(*offered)) == want


def test_what_it_prefers_of_tls_13(server: ssl.SSLContext) -> None:
    assert chosen(server, client()) == "TLS_AES_128_GCM_SHA256"


def test_the_order_of_the_flag_means_nothing() -> None:
    server = server_context()
    TlsOptions(ciphers=(CIPHERS[1], CIPHERS[0])).apply(server)
    assert chosen(server, client(*CIPHERS)) == CIPHERS[0]
    with pytest.raises(ssl.SSLError):
        shaken(server, client(CIPHERS[2]))


@pytest.mark.parametrize("first", CIPHERS)
def test_the_client_chooses_where_the_order_cannot_be_set(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openssl, "_library", lambda: None)
    others = [cipher for cipher in CIPHERS if cipher != first]
    assert chosen(server_context(), client(first, *others)) == first


def test_but_not_a_weak_one(server: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(server, client("ECDHE-ECDSA-AES128-SHA"))
