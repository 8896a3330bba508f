"""A TLS transport over scripted parts."""

import pytest
from tests.wire.scripted_tls import Descriptors, Loop, Made, Protocol, ScriptedSocket

from tiphys.wire.tls import TlsTransport


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    loop, sock, protocol = Loop(), ScriptedSocket(), Protocol()
    monkeypatch.setattr("tiphys.wire.tls.os", Descriptors(sock))
    transport = TlsTransport(loop, sock, protocol, ("10.0.0.1", 5))  # type: ignore[arg-type]
    transport.start()
    protocol.told.clear()
    return loop, sock, protocol, transport
