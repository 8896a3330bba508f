"""Peers that are gone without a word are found out: what each end asks of TCP, and the kernel does."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.client.connection import Address, Pool
from tiphys.wire import pki
from tiphys.wire.dial import dial
from tiphys.wire.keepalive import OF_CLIENTS, OF_SERVERS, OF_STREAMS, KeepAlive
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
PAIR = pki.issue_server(CA, "server", ["127.0.0.1"], NOW)


async def app(request: Request) -> Response:
    return Response(200, {}, b"ok")


def settings(port: int) -> dict[str, KeepAlive | None]:
    """Return what this process's connections with a port have, those of its clients and its server's."""
    found: dict[str, KeepAlive | None] = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as sock:
            if sock.type == socket.SOCK_STREAM and sock.family == socket.AF_INET:
                ends = {"client": sock.getpeername()[1], "server": sock.getsockname()[1]}
                found |= {who: setting(sock) for who, end in ends.items() if end == port}
    return found


def setting(sock: socket.socket) -> KeepAlive | None:
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        return None
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    silence, every, probes, unacknowledged = (sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)
    return KeepAlive(silence, every, probes, unacknowledged // 1000)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
async def test_both_ends_of_a_connection_ask_whether_the_other_is_there(tls: bool) -> None:
    context = pki.server_context(PAIR, None) if tls else None
    trusting = ssl.create_default_context(cadata=CA.certificate.decode()) if tls else None
    async with serve(app, ssl_context=context) as server:
        port = server.port
        pool = Pool(Address("127.0.0.1", port, trusting), 5.0)
        connection = await pool.take()
        assert await connection.fetch(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 5.0) == b"ok"
        assert settings(port) == {"client": OF_CLIENTS, "server": OF_SERVERS}
        pool.give(connection)
        pool.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
async def test_so_does_a_stream(tls: bool) -> None:
    context = pki.server_context(PAIR, None) if tls else None
    trusting = ssl.create_default_context(cadata=CA.certificate.decode()) if tls else None
    async with serve(app, ssl_context=context) as server:
        stream = await dial("127.0.0.1", server.port, ssl_context=trusting)
        await stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await stream.read()).startswith(b"HTTP/1.1 200 OK")
        assert settings(server.port) == {"client": OF_STREAMS, "server": OF_SERVERS}
        await stream.close()


SILENCED = """
import socket, subprocess
from tiphys.wire.keepalive import KeepAlive, keep_alive
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0))
sent, idle = (socket.create_connection(listener.getsockname()) for _ in range(2))
keep_alive(sent, KeepAlive(60, 60, 9, 1))
keep_alive(idle, KeepAlive(1, 1, 2))
peers = [listener.accept() for _ in range(2)]
cut = "add table ip cut; add chain ip cut c { type filter hook input priority 0; policy drop; }"
subprocess.run(["nft", cut], check=True)
sent.sendall(b"x")
for sock in (sent, idle):
    try:
        print(sock.recv(1))
    except TimeoutError:
        print("gone")
"""


@pytest.mark.e2e
def test_the_kernel_finds_out() -> None:
    """In a network of its own, out of which nothing comes any more."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", SILENCED],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert done.stdout.split() == ["gone", "gone"], done.stderr
