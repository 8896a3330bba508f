"""Certificates of any shape, for tests: authorities above others, with or without what they should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki

NOW = RealClock().now().replace(microsecond=0)
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pair(self) -> pki.KeyPair:
        form = serialization.PrivateFormat.PKCS8
        key = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return pki.KeyPair(self.pem, key)


def name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(*part, _validate=False) for part in parts])


def make(
    subject: str | x509.Name,
    issuer: Made | None = None,
    *,
    ca: bool | None = False,
    path: int | None = None,
    extensions: Extensions = (),
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=30),
    key: Any = None,
) -> Made:
    """Make one; without an issuer it signs itself, with ``ca`` None it does not say whether it may sign."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    named = name((NameOID.COMMON_NAME, subject)) if isinstance(subject, str) else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(issuer.certificate.subject if issuer else named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path if ca else None), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
