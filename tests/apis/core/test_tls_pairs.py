"""What is said of a TLS Secret whose key does not fit its certificate."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
ELLIPTIC, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def certificate(key: Key) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=1))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def private(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return str(key.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


def block(kind: str, data: bytes = b"x") -> str:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(data).decode()}\n-----END {kind}-----\n"


CRT, KEY = certificate(ELLIPTIC), private(ELLIPTIC)
AFTER = "after skipping PEM blocks of the following types"
PAIRS: dict[str, tuple[str, str, str]] = {
    "elliptic": (CRT, KEY, ""),
    "elliptic, in its own form": (CRT, private(ELLIPTIC, PrivateFormat.TraditionalOpenSSL), ""),
    "rsa": (certificate(RSA), private(RSA), ""),
    "edwards": (certificate(EDWARDS), private(EDWARDS), ""),
    "a chain, and more than a key": (CRT + certificate(RSA), block("EC PARAMETERS") + KEY, ""),
    "nothing": ("", KEY, "tls: failed to find any PEM data in certificate input"),
    "no pem": ("x", "y", "tls: failed to find any PEM data in certificate input"),
    "no key": (CRT, "", "tls: failed to find any PEM data in key input"),
    "switched": (
        KEY,
        CRT,
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM "
        "inputs may have been switched",
    ),
    "two certificates": (
        CRT, CRT, "tls: found a certificate rather than a key in the PEM for the private key"
    ),
    "other blocks": (
        block("A") + block("B"),
        KEY,
        f'tls: failed to find "CERTIFICATE" PEM block in certificate input {AFTER}: [A B]',
    ),
    "other blocks than a key": (
        CRT,
        block("A") + block("B"),
        f'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input {AFTER}: [A B]',
    ),
    "no certificate in it": (block("CERTIFICATE"), KEY, "x509: malformed certificate"),
    "no key in it": (CRT, block("PRIVATE KEY"), "tls: failed to parse private key"),
    "a key of no use": (
        CRT,
        private(x25519.X25519PrivateKey.generate()),
        "tls: found unknown private key type in PKCS#8 wrapping",
    ),
    "another kind of key": (CRT, private(RSA), "tls: private key type does not match public key type"),
    "another key": (CRT, private(OTHER), "tls: private key does not match public key"),
}  # fmt: skip


@pytest.mark.parametrize(("crt", "key", "fault"), PAIRS.values(), ids=PAIRS)
def test_a_pair_that_does_not_fit(
    warnings_of: Callable[[dict[str, Any]], list[str]], crt: str, key: str, fault: str
) -> None:
    data = {
        "tls.crt": base64.b64encode(crt.encode()).decode(),
        "tls.key": base64.b64encode(key.encode()).decode(),
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
    assert warnings_of(secret) == ([fault] if fault else [])
    assert warnings_of({**secret, "type": "Opaque"}) == []
