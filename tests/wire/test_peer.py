"""What a client shows: the chain that it sends, also where a session is resumed."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.wire.certificates import Made, make

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import openssl, pki
from tiphys.wire.message import Request, Response
from tiphys.wire.peer import PeerChains
from tiphys.wire.server import serve

NOW = RealClock().now()


def make_intermediate(ca: pki.KeyPair, name: str) -> pki.KeyPair:
    """Return an authority that another one vouches for."""
    issuer = x509.load_pem_x509_certificate(ca.certificate)
    return make(name, Made(issuer, serialization.load_pem_private_key(ca.key, None)), ca=True).pair


def der(pair: pki.KeyPair) -> bytes:
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(serialization.Encoding.DER)


ROOT = pki.make_ca("root", NOW)
MIDDLE = make_intermediate(ROOT, "middle")
LEAF = pki.issue_client(MIDDLE, "alice", ["dev"], NOW)
SENT = pki.KeyPair(LEAF.certificate + MIDDLE.certificate, LEAF.key)
SERVER = pki.issue_server(ROOT, "localhost", ["localhost"], NOW)


def client_context(shown: pki.KeyPair | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ROOT.certificate.decode())
    if shown is not None:
        pki.load_pair(context, shown)
    return context


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, look: Callable[[ssl.SSLSocket], Any], session: Any = None
) -> tuple[Any, Any]:
    """Connect once; return what the server saw and the client's session."""
    near, far = socket.socketpair()
    seen: list[Any] = []

    def serve_one() -> None:
        with server.wrap_socket(near, server_side=True) as shaken:
            seen.append(look(shaken))
            shaken.send(b"x")
            shaken.recv(1)

    thread = threading.Thread(target=serve_one)
    thread.start()
    with client.wrap_socket(far, server_hostname="localhost", session=session) as shaken:
        shaken.recv(1)
        session = shaken.session
        shaken.send(b"y")
    thread.join()
    return seen[0], session


@pytest.fixture(params=["accepted unseen", "verified by OpenSSL"])
def reach(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With OpenSSL in reach, and without."""
    if request.param != "accepted unseen":
        monkeypatch.setattr(openssl, "_library", lambda: None)


@pytest.mark.usefixtures("reach")
@pytest.mark.parametrize("trusted", [ROOT, MIDDLE], ids=["the root is known", "only the middle is"])
def test_what_was_shown(trusted: pki.KeyPair) -> None:
    server = pki.server_context(SERVER, trusted.certificate)
    assert shake(server, client_context(SENT), PeerChains().shown)[0] == (der(LEAF), der(MIDDLE))
    assert shake(server, client_context(None), PeerChains().shown)[0] == ()


def test_nobody_is_asked_where_nobody_is_believed() -> None:
    server = pki.server_context(SERVER, None)
    assert shake(server, client_context(SENT), PeerChains().shown)[0] == ()


@pytest.mark.usefixtures("reach")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumed_sessions(version: ssl.TLSVersion) -> None:
    server, client = pki.server_context(SERVER, ROOT.certificate), client_context(SENT)
    client.maximum_version = version
    chains = PeerChains()

    def look(shaken: ssl.SSLSocket) -> tuple[Any, ...]:
        return bool(shaken.session_reused), chains.shown(shaken)

    seen, session = shake(server, client, look)
    assert seen == (False, (der(LEAF), der(MIDDLE)))
    seen, _ = shake(server, client, look, session)
    assert seen == (True, (der(LEAF), der(MIDDLE)))


def test_a_resumed_session_of_somebody_unknown() -> None:
    class Resumed:
        def getpeercert(self, binary_form: bool) -> bytes:
            return b"leaf"

        def get_unverified_chain(self) -> list[bytes]:
            return []

    resumed: Any = Resumed()
    assert PeerChains().shown(resumed) == (b"leaf",)


@pytest.mark.parametrize("shown", [SENT, None], ids=["a certificate", "none"])
async def test_through_the_server(shown: pki.KeyPair | None) -> None:
    requests: list[Request] = []

    async def handler(request: Request) -> Response:
        requests.append(request)
        return Response(200, {}, b"ok")

    context = pki.server_context(SERVER, ROOT.certificate)
    async with serve(handler, ssl_context=context) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(shown), server_hostname="localhost"
        )
        ask = functools.partial(_ask, reader, writer)
        await ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        await ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()
    wanted = () if shown is None else (der(LEAF), der(MIDDLE))
    assert [one.shown_certificates for one in requests] == [wanted] * 4


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await reader.readuntil(b"ok")
