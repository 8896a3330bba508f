"""Certificates and authorities in files: which is shown to whom, and what is taken over while serving."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tiphys.apimachinery.clock import RealClock
from tiphys.cmd import apiserver as command
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve
from tiphys.wire.serving_files import (
    Files,
    Held,
    NamedPair,
    ServingFiles,
    chosen,
    make_context,
    named_pair,
    read,
)
from tiphys.wire.tls_options import read as read_tls

NOW = RealClock().now()
CA = pki.make_ca("ca", NOW)
TLS = read_tls("", [])


def server_pair(*hosts: str) -> pki.KeyPair:
    return pki.issue_server(CA, hosts[0], hosts, NOW)


OWN, OTHER = server_pair("localhost"), server_pair("localhost")
FOO, BAR = server_pair("foo.example.com"), server_pair("*.bar.example.com", "baz")


def der(pair: pki.KeyPair) -> bytes:
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


async def shown(port: int, name: str) -> bytes:
    """Return the certificate that a server shows to who asks for a name."""
    context = ssl.create_default_context(cadata=CA.certificate.decode())
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(found, bytes)
    return found


async def ok(_request: Request) -> Response:
    return Response(200, {}, b"")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.crt,a.key", NamedPair((Path("a.crt"), Path("a.key")))),
        (
            "a.crt,a.key:Foo.com, *.bar.com",
            NamedPair((Path("a.crt"), Path("a.key")), ("foo.com", "*.bar.com")),
        ),
        ("a.crt", None),
        ("a.crt,", None),
        ("a,b,c", None),
    ],
)
def test_the_flag(text: str, pair: NamedPair | None) -> None:
    if pair is not None:
        assert named_pair(text) == pair
        return
    with pytest.raises(ValueError, match="expected comma separated certificate and key file paths"):
        named_pair(text)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("foo.com", 1),
        ("FOO.com.", 1),
        ("a.foo.com", 0),
        ("a.b.foo.com", None),
        ("bar.com", None),
        ("", None),
        ("x.foo.com", 2),
    ],
)
def test_which_certificate_is_for_a_name(name: str, which: int | None) -> None:
    assert chosen(name, [("*.foo.com",), ("foo.com", "*.foo.com"), ("x.foo.com",)]) == which


async def test_names(tmp_path: Path) -> None:
    for name, pair in (("foo", FOO), ("bar", BAR), ("own", OWN)):
        pair.write(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")

    def paths(name: str) -> tuple[Path, Path]:
        return tmp_path / f"{name}.crt", tmp_path / f"{name}.key"

    files = Files(paths("own"), named=(NamedPair(paths("foo"), ("said",)), NamedPair(paths("bar"))))
    held = await asyncio.to_thread(read, files, Held(OWN))
    async with serve(ok, ssl_context=make_context(held, TLS), grace_s=0.1) as server:
        asked = {
            name: await shown(server.port, name)
            for name in ("said", "a.bar.example.com", "baz", "foo.example.com")
        }
    assert asked == {
        "said": der(FOO), "a.bar.example.com": der(BAR), "baz": der(BAR), "foo.example.com": der(OWN)
    }  # fmt: skip


class Taken:
    """Remembers what was taken over."""

    def __init__(self) -> None:
        self.held: list[Held] = []

    async def __call__(self, held: Held, _context: ssl.SSLContext) -> None:
        self.held.append(held)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    OWN.write(tmp_path / "t.crt", tmp_path / "t.key")
    (tmp_path / "users.crt").write_bytes(CA.certificate)
    return Files((tmp_path / "t.crt", tmp_path / "t.key"), client_ca=tmp_path / "users.crt")


async def test_what_was_written_anew_is_taken_over(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    assert files.pair is not None
    assert files.client_ca is not None
    certificate, key = files.pair
    held, taken = read(files, Held(OWN)), Taken()
    assert held.authorities == CA.certificate
    looking = ServingFiles(files, held, TLS, taken)
    assert not await looking.look()
    certificate.write_bytes(OTHER.certificate)
    assert not await looking.look(), "its key is not there yet"
    assert "certificates not taken over" in caplog.text
    key.unlink()
    assert not await looking.look()
    key.write_bytes(OTHER.key)
    assert await looking.look()
    assert not await looking.look()
    new = pki.make_ca("new", NOW).certificate
    files.client_ca.write_bytes(new)
    assert await looking.look()
    assert taken.held == [Held(OTHER, CA.certificate), Held(OTHER, new)]


@pytest.mark.parametrize("which", ["client_ca", "proxies_ca"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nonsense", 'error loading CA bundle for "PURPOSE::PATH": data does not contain any valid RSA'),
        (OWN.key, 'error loading CA bundle for "PURPOSE::PATH": data does not contain any valid RSA'),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x509: malformed certificate"),
        (b"", 'missing content for CA bundle "PURPOSE::PATH"'),
        (b"\n", 'missing content for CA bundle "PURPOSE::PATH"'),
    ],
    ids=["nonsense", "a key", "cut off", "empty", "blank"],
)
async def test_a_bundle_of_no_use(
    tmp_path: Path, files: Files, caplog: pytest.LogCaptureFixture, which: str, content: bytes, why: str
) -> None:
    """The other one's certificates do not make up for it: nothing is taken over until it is mended."""
    other = tmp_path / "proxies.crt"
    other.write_bytes(pki.make_ca("proxies", NOW).certificate)
    files = replace(files, proxies_ca=other)
    held, taken = read(files, Held(OWN)), Taken()
    looking, path = ServingFiles(files, held, TLS, taken), getattr(files, which)
    path.write_bytes(content)
    assert not await looking.look()
    purpose = "client-ca-bundle" if which == "client_ca" else "request-header"
    assert why.replace("PURPOSE", purpose).replace("PATH", str(path)) in caplog.text.replace("\\", "")
    with pytest.raises(ValueError, match="CA bundle"):
        read(files, Held(OWN))
    path.write_bytes(CA.certificate + b"# and some words\n")
    assert await looking.look()
    assert len(taken.held) == 1


async def test_without_files_nothing_is_looked_at() -> None:
    await ServingFiles(Files(), Held(OWN), TLS, Taken()).run()


async def test_new_connections_are_shown_the_new_one(files: Files) -> None:
    async with serve(ok, ssl_context=make_context(read(files, Held(OWN)), TLS), grace_s=0.1) as server:

        async def take_over(_held: Held, context: ssl.SSLContext) -> None:
            server.replace_context(context)

        looking = ServingFiles(files, read(files, Held(OWN)), TLS, take_over)
        assert await shown(server.port, "localhost") == der(OWN)
        assert files.pair is not None
        OTHER.write(*files.pair)
        assert await looking.look()
        assert await shown(server.port, "localhost") == der(OTHER)


def test_authorities_of_both_kinds() -> None:
    assert Held(OWN).authorities is None
    assert Held(OWN, b"a", b"b\n").authorities == b"a\nb\n"


@pytest.mark.parametrize(
    ("flags", "pair"),
    [
        ({}, None),
        ({"cert_dir": Path("d")}, (Path("d/apiserver.crt"), Path("d/apiserver.key"))),
        (
            {"cert_dir": Path("d"), "tls_cert_file": Path("c"), "tls_private_key_file": Path("k")},
            (Path("c"), Path("k")),
        ),
    ],
)
def test_files_of_the_flags(flags: dict[str, Any], pair: Any) -> None:
    names = (
        "cert_dir",
        "tls_cert_file",
        "tls_private_key_file",
        "client_ca_file",
        "requestheader_client_ca_file",
    )
    given: dict[str, Any] = {**dict.fromkeys(names), "tls_sni_cert_key": ("a,b",), **flags}
    files = command.serving_files(given)
    assert (files.pair, files.named) == (pair, (named_pair("a,b"),))
    with pytest.raises(click.BadParameter, match="comma separated"):
        command.serving_files({**given, "tls_sni_cert_key": ("a",)})
