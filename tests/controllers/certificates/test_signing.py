"""What is signed: OpenSSL takes it for every set of usages, and finds the authority that signed it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import RealClock
from tiphys.controllers.certificates.signing import Authority, sign

NOW = RealClock().now()
USAGES = [["client auth"], ["digital signature", "client auth"], ["key encipherment", "server auth"], []]


def authority(name: x509.SubjectKeyIdentifier | None) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mine")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if name is not None:
        builder = builder.add_extension(name, critical=False)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def request() -> tuple[x509.CertificateSigningRequest, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    wanted = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return wanted, pem


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes, bytes], None]:
    def load(certificate: bytes, key: bytes) -> None:
        path = tmp_path / "pair.pem"
        path.write_bytes(certificate + key)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path)

    return load


@pytest.mark.parametrize("usages", USAGES, ids=lambda usages: " and ".join(usages) or "nothing")
def test_openssl_takes_it(load: Callable[[bytes, bytes], None], usages: list[str]) -> None:
    """A critical extension of usages that names none makes a certificate invalid: Go leaves it out."""
    wanted, key = request()
    signed = sign(authority(None), wanted, usages, timedelta(days=1), NOW)
    load(signed, key)
    found = [one.oid._name for one in x509.load_pem_x509_certificate(signed).extensions]
    assert ("keyUsage" in found) is any("auth" not in usage for usage in usages)
    assert ("extendedKeyUsage" in found) is any("auth" in usage for usage in usages)


def test_an_authority_that_names_its_key_otherwise() -> None:
    named = x509.SubjectKeyIdentifier(b"our own name of it")
    wanted, _ = request()
    for name in (named, None):
        mine = authority(name)
        signed = x509.load_pem_x509_certificate(sign(mine, wanted, ["client auth"], timedelta(days=1), NOW))
        called = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        common = x509.SubjectKeyIdentifier.from_public_key(mine.certificate.public_key())
        assert called.key_identifier == (name or common).digest
