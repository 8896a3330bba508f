"""The server behind a real TLS socket: client certificates and the command's own wiring."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from cryptography import x509 as certificates

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.authn import x509
from tiphys.cmd import apiserver as command
from tiphys.wire import pki
from tiphys.wire.server import serve

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def post(port: int, context: ssl.SSLContext, path: str, body: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), orjson.loads(rest)


async def test_a_client_certificate_says_who_asks(serving: Any) -> None:
    now = RealClock().now()
    ca = pki.make_ca("ca", now)
    server = pki.issue_server(ca, "kube-apiserver", ["127.0.0.1", "localhost"], now)
    client = pki.issue_client(ca, "carol", ["a", "b"], now)
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    pki.load_pair(context, client)
    async with (
        serving(clock=FakeClock(now), client_ca=ca.certificate) as api,
        serve(api.server.handler, ssl_context=pki.server_context(server, ca.certificate)) as running,
    ):
        status, review = await post(running.port, context, WHOAMI, b"{}")
    assert status == 201
    info = review["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("carol", ["a", "b", "system:authenticated"])


def test_user_of_a_certificate() -> None:
    now = RealClock().now()
    pair = pki.issue_client(pki.make_ca("ca", now), "u", [], now)
    loaded = certificates.load_pem_x509_certificate(pair.certificate)
    from cryptography.hazmat.primitives.serialization import Encoding

    user = x509.user_of(loaded.public_bytes(Encoding.DER))
    assert user is not None
    assert (user.name, user.groups) == ("u", ())


def test_keys_are_private_on_disk(tmp_path: Path) -> None:
    pair = pki.make_ca("ca", RealClock().now())
    pair.write(tmp_path / "a.crt", tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o077 == 0
    assert pki.KeyPair.read(tmp_path / "a.crt", tmp_path / "a.key") == pair
    assert b"PUBLIC KEY" in pki.public_pem(pki.make_signing_key())


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--store", "bogus"], "expected memory, sqlite:PATH or etcd:URL"),
        (["--token-auth-file", "/nonexistent"], "does not exist"),
    ],
)
def test_flags_are_checked(flags: list[str], text: str) -> None:
    result = CliRunner().invoke(command.apiserver, flags)
    assert result.exit_code == 2
    assert text in result.output


def test_a_serving_certificate_is_kept(tmp_path: Path) -> None:
    flags = {"tls_cert_file": None, "tls_private_key_file": None, "cert_dir": tmp_path}
    from tiphys.apiserver.options import ApiServerOptions

    first = command.serving_pair(flags, ApiServerOptions())
    assert command.serving_pair(flags, ApiServerOptions()) == first
