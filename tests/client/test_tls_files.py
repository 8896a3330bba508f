"""Certificates, keys and authorities of a client that are written anew while it runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.wire.certificates import NOW

from tiphys.client import transport as transports
from tiphys.client.kubeconfig import ClientConfig, in_cluster, load
from tiphys.client.tls_files import TlsFiles
from tiphys.client.transport import Call, HttpTransport, TransportError
from tiphys.wire import pki
from tiphys.wire.client_certificates import subject_of
from tiphys.wire.message import Request, Response
from tiphys.wire.server import Server, serve

OLD, NEW = pki.make_ca("old", NOW), pki.make_ca("new", NOW)


def server_context(ca: pki.KeyPair) -> ssl.SSLContext:
    pair = pki.issue_server(ca, "server", ["127.0.0.1"], NOW)
    return pki.server_context(pair, OLD.certificate + NEW.certificate)


async def who(request: Request) -> Response:
    shown = request.shown_certificates
    return Response(200, {}, subject_of(shown[0]).common_name.encode() if shown else b"nobody")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve(who, ssl_context=server_context(OLD), grace_s=0.1) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, server: Server) -> ClientConfig:
    """One whose certificate, key and authority are files beside it."""
    user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": "ca.crt"}
    document = {
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    write(tmp_path, "first")
    (tmp_path / "ca.crt").write_bytes(OLD.certificate)
    return load(tmp_path / "config")


def write(folder: Path, user: str) -> None:
    pki.issue_client(OLD, user, (), NOW).write(folder / "tls.crt", folder / "tls.key")


async def asked(transport: Any) -> str:
    return (await transport.send(Call("GET", "/"))).body.decode()


async def test_a_new_certificate_is_shown(config: ClientConfig, tmp_path: Path) -> None:
    transport = config.transport()
    assert await asked(transport) == "first"
    write(tmp_path, "second")
    assert await asked(transport) == "first", "a connection that there is shows what it has shown"
    transport._look()
    assert await asked(transport) == "second"
    await transport.close()


async def test_files_are_looked_at_again_and_again(
    config: ClientConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "FILES_S", 0.005)
    transport = config.transport()
    assert await asked(transport) == "first"
    write(tmp_path, "second")
    async with asyncio.timeout(10):
        while await asked(transport) != "second":  # noqa: ASYNC110 - the files are all there is to wait for
            await asyncio.sleep(0.005)
    await transport.close()


async def test_a_new_connection_looks_first(config: ClientConfig, tmp_path: Path) -> None:
    transport = config.transport()
    write(tmp_path, "second")
    assert await asked(transport) == "second"
    await transport.close()


async def test_half_a_pair_changes_nothing(
    config: ClientConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transport = config.transport()
    before = (tmp_path / "tls.key").read_bytes()
    write(tmp_path, "second")
    after = (tmp_path / "tls.key").read_bytes()
    (tmp_path / "tls.key").write_bytes(before)
    assert await asked(transport) == "first"
    assert "certificates not taken over" in caplog.text
    (tmp_path / "tls.key").write_bytes(after)
    transport._look()
    assert await asked(transport) == "second"
    (tmp_path / "tls.key").unlink()
    transport._look()
    assert await asked(transport) == "second"
    await transport.close()


async def test_another_authority(config: ClientConfig, server: Server, tmp_path: Path) -> None:
    transport = config.transport()
    anonymous = transport.anonymous()
    assert (await asked(transport), await asked(anonymous)) == ("first", "nobody")
    server.replace_context(server_context(NEW))
    transport._pool.drain()
    with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        await asked(transport)
    (tmp_path / "ca.crt").write_bytes(NEW.certificate)
    assert await asked(transport) == "first"
    assert isinstance(anonymous, HttpTransport)
    anonymous._look()
    assert await asked(anonymous) == "nobody"
    await transport.close()


def test_a_pods_authority_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (tmp_path / "ca.crt").write_bytes(OLD.certificate)
    assert in_cluster(tmp_path).ca_file == tmp_path / "ca.crt"


def test_what_stands_in_the_config_is_looked_at_by_nobody() -> None:
    config = ClientConfig("https://127.0.0.1:1", OLD.certificate)
    assert config.transport()._files is None


def test_links(tmp_path: Path) -> None:
    """Mounted Secrets and kubelets replace a link."""
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
    (tmp_path / "current").symlink_to("one")
    context = ssl.create_default_context()
    files = TlsFiles([tmp_path / "current"], lambda: context)
    assert files.changed() is None
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("two")
    assert files.changed() is context
    assert files.changed() is None
