"""TLS by upstream's names: what is refused, and what a handshake then agrees on."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest

from tiphys.wire import pki
from tiphys.wire.tls_options import TlsOptionError, TlsOptions, read

AES = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
READ = [
    ("", [], TlsOptions()),
    ("VersionTLS13", [], TlsOptions(ssl.TLSVersion.TLSv1_3)),
    ("VersionTLS12", [AES, "TLS_AES_128_GCM_SHA256"], TlsOptions(ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",))),
    (
        "",
        [
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
        TlsOptions(ciphers=("ECDHE-RSA-CHACHA20-POLY1305",)),
    ),
]


@pytest.mark.parametrize(("minimum", "suites", "expected"), READ)
def test_names(minimum: str, suites: list[str], expected: TlsOptions) -> None:
    assert read(minimum, suites) == expected


@pytest.mark.parametrize(
    ("minimum", "suites", "message"),
    [
        ("VersionTLS9", [], 'unknown tls version "VersionTLS9"'),
        ("", ["TLS_NONE"], "Cipher suite TLS_NONE not supported or doesn't exist"),
    ],
)
def test_refusals(minimum: str, suites: list[str], message: str) -> None:
    with pytest.raises(TlsOptionError, match=message.replace("(", r"\(")):
        read(minimum, suites)


def shake_hands(options: TlsOptions, client: ssl.SSLContext) -> tuple[str, str]:
    """Return version and cipher of a connection in memory. Raises ssl.SSLError."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    context = pki.server_context(pki.issue_server(pki.make_ca("ca", now), "s", ["localhost"], now), None)
    options.apply(context)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = context.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server)
    open_sides = [client_side, server_side]
    while open_sides:
        for side in list(open_sides):
            try:
                side.do_handshake()
                open_sides.remove(side)
            except ssl.SSLWantReadError:
                continue
    cipher = server_side.cipher()
    assert cipher is not None
    return server_side.version() or "", cipher[0]


def client(most: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = most
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def test_handshakes() -> None:
    narrow = read("", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    agreed = shake_hands(narrow, client(ssl.TLSVersion.TLSv1_2))
    assert agreed == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert shake_hands(narrow, client(ssl.TLSVersion.TLSv1_3))[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        shake_hands(narrow, client(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"))
    with pytest.raises(ssl.SSLError):
        shake_hands(read("VersionTLS13", []), client(ssl.TLSVersion.TLSv1_2))


P256, P384, X25519, HYBRID = 23, 24, 29, 4588


def agreeing_by(name: str) -> ssl.SSLContext:
    context = client(ssl.TLSVersion.TLSv1_3)
    context.set_ecdh_curve(name)
    return context


def test_curves() -> None:
    narrow = read("", [], curves=[P384, X25519, HYBRID])
    assert narrow.curves == ("P-384", "X25519", "X25519MLKEM768")
    for name in ("secp384r1", "X25519"):
        shake_hands(narrow, agreeing_by(name))
    with pytest.raises(ssl.SSLError):
        shake_hands(narrow, agreeing_by("prime256v1"))
    shake_hands(read("", []), agreeing_by("prime256v1"))


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([0], "curve preference 0 is out of range (must be 1-65535)"),
        ([-1], "curve preference -1 is out of range (must be 1-65535)"),
        ([65536], "curve preference 65536 is out of range (must be 1-65535)"),
        ([P256, P384, P256], "duplicate curve preference 23"),
        ([P256, 9], "curve preference 9 is not supported by the current Go version"),
    ],
)
def test_refused_curves(curves: list[int], message: str) -> None:
    with pytest.raises(TlsOptionError) as found:
        read("", [], curves=curves)
    assert str(found.value) == message


def test_curves_that_openssl_has_not() -> None:
    with pytest.raises(TlsOptionError, match="OpenSSL has none of the curves P-999"):
        TlsOptions(curves=("P-999",)).apply(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
