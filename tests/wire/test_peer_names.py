"""For whom certificates are, in Go's words; and that nothing is said to who is somebody else."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.client import ConnectFailed, send
from tiphys.wire.message import Request, Response
from tiphys.wire.peer_names import NamedContext, NameRefused, name_fault
from tiphys.wire.server import serve

NOW = RealClock().now()


def certificate(*names: str, addresses: tuple[str, ...] = (), subject: str = "cn.svc") -> dict[str, Any]:
    found: dict[str, Any] = {"subject": ((("organizationName", "o"),), (("commonName", subject),))}
    san = [*(("DNS", name) for name in names), *(("IP Address", one) for one in addresses)]
    return {**found, "subjectAltName": tuple(san)} if san else found


LEGACY = "x509: certificate relies on legacy Common Name field, use SANs instead"
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "its name": (certificate("a.svc", "b.svc"), "b.svc", ""),
    "case and a last dot": (certificate("A.svc"), "a.SVC.", ""),
    "a wildcard": (certificate("*.ns.svc"), "a.ns.svc", ""),
    "a wildcard is one part": (
        certificate("*.svc"), "a.ns.svc", "x509: certificate is valid for *.svc, not a.ns.svc",
    ),
    "a wildcard is a whole part": (
        certificate("a*.svc"), "ab.svc", "x509: certificate is valid for a*.svc, not ab.svc",
    ),
    "others": (certificate("a.svc", "b.svc"), "c", "x509: certificate is valid for a.svc, b.svc, not c"),
    "its address": (certificate(addresses=("10.0.0.1",)), "10.0.0.1", ""),
    "a long address": (certificate(addresses=("2001:DB8:0:0:0:0:0:1\n",)), "[2001:db8::1]", ""),
    "other addresses": (
        certificate(addresses=("10.0.0.1", "::1")), "10.0.0.2",
        "x509: certificate is valid for 10.0.0.1, ::1, not 10.0.0.2",
    ),
    "no addresses": (
        certificate("a.svc"), "10.0.0.2",
        "x509: cannot validate certificate for 10.0.0.2 because it doesn't contain any IP SANs",
    ),
    "addresses alone": (
        certificate(addresses=("10.0.0.1",)), "a",
        "x509: certificate is not valid for any names, but wanted to match a",
    ),
    "the subject's name": (certificate(), "cn.svc", LEGACY),
    "beside others it counts for nothing": (
        certificate("a.svc"), "cn.svc", "x509: certificate is valid for a.svc, not cn.svc",
    ),
    "nothing": (
        certificate(), "a", "x509: certificate is not valid for any names, but wanted to match a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_faults(case: str) -> None:
    found, name, fault = CASES[case]
    assert name_fault(found, name) == fault


@pytest.mark.parametrize(
    ("name", "insecure", "fault"),
    [
        ("a.svc", False, ""),
        ("b.svc", True, ""),
        ("b.svc", False, "x509: certificate is valid for a.svc, not b.svc"),
    ],
)
async def test_who_is_somebody_else_hears_nothing(name: str, fault: str, *, insecure: bool) -> None:
    heard = []

    async def app(request: Request) -> Response:
        heard.append(request.path)
        return Response(200)

    ca = pki.make_ca("ca", NOW)
    pair = pki.issue_server(ca, "server", ["a.svc", "127.0.0.1"], NOW)
    context = NamedContext()
    context.trust(ca.certificate.decode())
    if insecure:
        context.verify_mode = ssl.CERT_NONE
    async with asyncio.timeout(60), serve(app, ssl_context=pki.server_context(pair, None)) as server:
        asked = send("127.0.0.1", server.port, "GET", "/", {}, ssl_context=context, server_name=name)
        if not fault:
            await (await asked).close()
        else:
            with pytest.raises(ConnectFailed) as caught:
                await asked
            assert isinstance(caught.value.__cause__, NameRefused)
            assert str(caught.value.__cause__) == fault
    assert heard == ([] if fault else ["/"])


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(
    ("name", "fault"), [("a.svc", ""), ("b.svc", "x509: certificate is valid for a.svc, not b.svc")]
)
async def test_nobody_can_leave_the_question_out(name: str, fault: str, *, blocking: bool) -> None:
    """Neither asyncio's own TLS nor a blocking socket goes on with who is somebody else."""

    async def app(request: Request) -> Response:
        return Response(200)

    ca = pki.make_ca("ca", NOW)
    pair = pki.issue_server(ca, "server", ["a.svc"], NOW)
    context = NamedContext()
    context.trust(ca.certificate.decode())

    async def connected(port: int) -> None:
        if blocking:
            await asyncio.to_thread(_connected, context, port, name)
            return
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.transport.abort()

    async with asyncio.timeout(60), serve(app, ssl_context=pki.server_context(pair, None)) as server:
        if not fault:
            await connected(server.port)
            return
        with pytest.raises(NameRefused) as caught:
            await connected(server.port)
        assert str(caught.value) == fault


def _connected(context: ssl.SSLContext, port: int, name: str | None) -> None:
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    with plain, context.wrap_socket(plain, server_hostname=name):
        pass


async def test_who_is_called_by_no_name_is_nobody() -> None:
    async def app(request: Request) -> Response:
        return Response(200)

    ca = pki.make_ca("ca", NOW)
    context = NamedContext()
    context.trust(ca.certificate.decode())
    shown = pki.server_context(pki.issue_server(ca, "server", ["a.svc"], NOW), None)
    async with asyncio.timeout(60), serve(app, ssl_context=shown) as server:
        with pytest.raises(NameRefused, match="either ServerName or InsecureSkipVerify must be specified"):
            await asyncio.to_thread(_connected, context, server.port, None)
