"""Handshakes that take any client certificate, and what is left of them where OpenSSL is out of reach."""

from __future__ import annotations

import contextlib
import logging
import ssl
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.wire.certificates import NOW, Made, make
from tests.wire.test_ciphers import shaken
from tests.wire.test_peer import SERVER, client_context, shake

from tiphys.wire import openssl, pki
from tiphys.wire.peer import PeerChains

KNOWN = make("ca", ca=True)
STRANGER = make("alice", make("ca", ca=True))
EXPIRED = make("alice", KNOWN, ends=NOW - timedelta(hours=1))


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(openssl, "KNOWN", ((2, 7), (2, 7)))
    openssl._library.cache_clear()
    yield
    monkeypatch.undo()
    openssl._library.cache_clear()


def test_it_is_reached_here() -> None:
    assert openssl._library() is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", [STRANGER, EXPIRED, make("self")], ids=["unknown", "expired", "its own"])
def test_any_certificate_is_taken(shown: Made, version: ssl.TLSVersion) -> None:
    server, client = pki.server_context(SERVER, KNOWN.pem), client_context(shown.pair)
    client.maximum_version = version
    seen, session = shake(server, client, PeerChains().shown)
    assert seen == (shown.der,)
    resumed, _ = shake(server, client, lambda one: (one.session_reused, PeerChains().shown(one)), session)
    assert resumed == (True, (shown.der,))


def test_who_has_not_the_key_is_not_taken() -> None:
    """A client of ours shows no certificate without its key, so what it sends is changed on the way."""
    client = client_context(STRANGER.pair)
    client.maximum_version = ssl.TLSVersion.TLSv1_2  # certificates are sent in the clear

    def change(sent: bytes) -> bytes:
        return sent.replace(STRANGER.der[-20:], bytes(20))

    near, far, to_server, _ = _halves(pki.server_context(SERVER, KNOWN.pem), client)
    with pytest.raises(ssl.SSLError):
        _shake(near, far, lambda: to_server.write(change(to_server.read())))


def test_authorities_are_named() -> None:
    client = client_context(None)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    near, far, _, to_client = _halves(pki.server_context(SERVER, KNOWN.pem), client)
    for side in (near, far):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    assert KNOWN.certificate.subject.public_bytes() in to_client.read()


def test_many_authorities_are_not_named() -> None:
    context = pki.server_context(SERVER, None)
    assert openssl.accept_any_certificate(context, [bytes([at]) * 4096 for at in range(9)])
    assert shake(context, client_context(STRANGER.pair), PeerChains().shown)[0] == (STRANGER.der,)


def test_what_is_no_certificate_is_not_named() -> None:
    context = pki.server_context(SERVER, None)
    assert openssl.accept_any_certificate(context, [b"nothing", KNOWN.der, KNOWN.der])


@pytest.mark.usefixtures("unreachable")
def test_out_of_reach_handshakes_verify(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = pki.server_context(SERVER, KNOWN.pem)
    pki.server_context(SERVER, KNOWN.pem)
    assert [one.getMessage() for one in caplog.records] == [
        "OpenSSL is not reached: handshakes refuse certificates of unknown authorities, "
        "clients choose the cipher, large answers take longer "
        f"why=cpython {sys.version.split()[0]} is not known"
    ]
    good = make("alice", KNOWN)
    assert shake(server, client_context(good.pair), PeerChains().shown)[0] == (good.der,)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(*_halves(server, client_context(STRANGER.pair))[:2])


def _halves(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Any, Any, ssl.MemoryBIO, ssl.MemoryBIO]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    return near, server.wrap_bio(to_server, to_client, server_side=True), to_server, to_client


def _shake(near: Any, far: Any, between: Callable[[], object] = int) -> None:
    for _ in range(4):
        for side in (near, far):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            if side is near:
                between()


class Other:
    """A library of another version, or one whose contexts are elsewhere."""

    def __init__(self, version: int = ssl.OPENSSL_VERSION_NUMBER, options: int = 0) -> None:
        self.version, self.options = version, options

    def OpenSSL_version_num(self) -> int:
        return self.version

    def SSL_CTX_get_options(self, _inner: int) -> int:
        return self.options


@pytest.mark.parametrize("library", [Other(1), Other()], ids=["another version", "another layout"])
def test_another_library_is_left_alone(library: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "_functions", lambda prototypes: library)
    openssl._library.cache_clear()
    try:
        context = pki.server_context(SERVER, None)
        assert not openssl.accept_any_certificate(context, [KNOWN.der])
        assert not openssl.prefer_suites(context, ["TLS_AES_128_GCM_SHA256"])
        assert context.verify_mode == ssl.CERT_NONE
    finally:
        openssl._library.cache_clear()


@pytest.mark.parametrize("first", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_suites_of_tls_13(first: str) -> None:
    context = pki.server_context(SERVER, None)
    assert openssl.prefer_suites(context, [first, "TLS_AES_256_GCM_SHA384"])
    found = shaken(context, client_context_of_anything()).cipher()
    assert found is not None
    assert found[0] == first


def client_context_of_anything() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_suites_that_nobody_knows() -> None:
    context = pki.server_context(SERVER, None)
    before = context.options
    assert not openssl.prefer_suites(context, ["TLS_NOTHING"])
    assert context.options == before
