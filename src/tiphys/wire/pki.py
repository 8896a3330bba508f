"""Certificates and keys: a CA, what it signs, and the key that signs service account tokens.

Owns: making and reading PEM material, and TLS contexts from it. Refuses: deciding who a certificate
stands for (``apiserver.authn``). Called by the API server, ``up`` and the CSR signer.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import openssl, tls_options

_BACKDATE = timedelta(minutes=5)
"""Certificates start a little early: clocks of nodes differ."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate (or chain) and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, certificate_path: Path, key_path: Path) -> None:
        """Write both files, the key readable by its owner only."""
        certificate_path.parent.mkdir(parents=True, exist_ok=True)
        certificate_path.write_bytes(self.certificate)
        write_private(key_path, self.key)

    @classmethod
    def read(cls, certificate_path: Path, key_path: Path) -> KeyPair:
        """Read what ``write`` wrote. Raises OSError."""
        return cls(certificate_path.read_bytes(), key_path.read_bytes())


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """As Kubernetes' own tools write a key: ``EC PRIVATE KEY``. Some clients take any other form for RSA."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: object, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _leaf_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_encipherment=True, content_commitment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_encipherment=True, content_commitment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def make_ca(common_name: str, now: datetime, *, days: int = 3650) -> KeyPair:
    """Make a self-signed certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_ca_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def _load_ca(ca: KeyPair) -> tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes]:
    key = serialization.load_pem_private_key(ca.key, None)
    return x509.load_pem_x509_certificate(ca.certificate), key  # type: ignore[return-value]


def _alternative_names(names: Iterable[str]) -> list[x509.GeneralName]:
    result: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name))
    return result


def issue_server(
    ca: KeyPair, common_name: str, hosts: Iterable[str], now: datetime, *, days: int = 365
) -> KeyPair:
    """Issue a serving certificate for ``hosts`` (DNS names and IP addresses mixed)."""
    issuer, issuer_key = _load_ca(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(_alternative_names(hosts)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def issue_client(ca: KeyPair, user: str, groups: Iterable[str], now: datetime, *, days: int = 365) -> KeyPair:
    """Issue a client certificate: the user is its CN, every group an O."""
    issuer, issuer_key = _load_ca(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def make_signing_key() -> bytes:
    """Make a private key (PEM) that signs service account tokens with ES256."""
    return private_pem(ec.generate_private_key(ec.SECP256R1()))


def public_pem(private_key: bytes) -> bytes:
    """Return the public half of a private key, PEM."""
    key = serialization.load_pem_private_key(private_key, None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def server_context(pair: KeyPair, client_ca: bytes | None) -> ssl.SSLContext:
    """Make a TLS server context that asks for, but does not demand, a client certificate of ``client_ca``.

    One of another authority is taken all the same where that can be done: requests must look at it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    tls_options.prefer_fast_ciphers(context)
    load_pair(context, pair)
    if client_ca:
        ask_clients(context, client_ca)
    return context


def ask_clients(context: ssl.SSLContext, client_ca: bytes) -> None:
    """Ask clients for a certificate of these authorities (PEM) in handshakes to come. Raises ValueError."""
    authorities = x509.load_pem_x509_certificates(client_ca)
    names = [one.public_bytes(serialization.Encoding.DER) for one in authorities]
    if openssl.accept_any_certificate(context, names):
        return
    context.load_verify_locations(cadata=client_ca.decode("ascii"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority may be all we know
    context.verify_mode = ssl.CERT_OPTIONAL


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Load a pair from memory into a context; ``ssl`` itself only reads files."""
    with tempfile.TemporaryDirectory() as folder:
        certificate_path, key_path = Path(folder, "tls.crt"), Path(folder, "tls.key")
        pair.write(certificate_path, key_path)
        context.load_cert_chain(certificate_path, key_path)
