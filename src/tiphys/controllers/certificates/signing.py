"""Reads certificate requests and signs them. Decides nothing; called by the signer and the approver."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.controllers.certificates.plan import Asked

_BACKDATE = timedelta(minutes=5)
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_BASIC = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_ALL_BASIC = (*sorted(set(_BASIC.values())), "key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate authority that signs."""

    certificate: x509.Certificate
    key: serialization.PrivateFormat | object

    @classmethod
    def load(cls, certificate_pem: str, key_pem: str) -> Authority:
        """Raises ValueError for material that is no certificate or key."""
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        return cls(certificate, serialization.load_pem_private_key(key_pem.encode(), None))


def read_request(encoded: str) -> x509.CertificateSigningRequest:
    """Decode ``spec.request``. Raises ValueError, also for a request its own key did not sign."""
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(encoded))
        valid = parsed.is_signature_valid
    except (ValueError, binascii.Error, InvalidSignature, UnsupportedAlgorithm) as error:
        raise ValueError(f"unable to parse csr: {error}") from error
    if not valid:
        raise ValueError("unable to parse csr: its signature is wrong")
    return parsed


def what_is_asked(parsed: x509.CertificateSigningRequest) -> Asked:
    """Return the names in a request."""

    def values(oid: x509.ObjectIdentifier) -> list[str]:
        return [str(item.value) for item in parsed.subject.get_attributes_for_oid(oid)]

    names = _alternative_names(parsed) or x509.SubjectAlternativeName([])
    return Asked(
        common_name=next(iter(values(NameOID.COMMON_NAME)), ""),
        organizations=values(NameOID.ORGANIZATION_NAME),
        dns_names=names.get_values_for_type(x509.DNSName),
        addresses=[str(item) for item in names.get_values_for_type(x509.IPAddress)],
        emails=names.get_values_for_type(x509.RFC822Name),
        uris=names.get_values_for_type(x509.UniformResourceIdentifier),
    )


def sign(
    authority: Authority,
    parsed: x509.CertificateSigningRequest,
    usages: list[str],
    lifetime: timedelta,
    now: datetime,
) -> bytes:
    """Return the certificate, PEM; it never outlives its authority."""
    issuer = authority.certificate
    until = min(now + lifetime, issuer.not_valid_after_utc)
    key = parsed.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(parsed.subject)
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_of(issuer), critical=False)
    )
    basic = {_BASIC[usage] for usage in usages if usage in _BASIC}
    if basic:  # one that says nothing makes the certificate invalid
        builder = builder.add_extension(_key_usage(basic), critical=True)
    extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    names = _alternative_names(parsed)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(authority.key, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.PEM)


def _alternative_names(parsed: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _key_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return how the authority's certificate calls its key, or else what keys are commonly called."""
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _key_usage(chosen: set[str]) -> x509.KeyUsage:
    flags = {name: name in chosen for name in _ALL_BASIC}
    if not flags["key_agreement"]:
        flags["encipher_only"] = flags["decipher_only"] = False
    return x509.KeyUsage(**flags)


def end_of(request: Object) -> datetime | None:
    """Return when the certificate a request got ends; None without one, or for one nobody can read."""
    encoded = (request.get("status") or {}).get("certificate")
    try:
        pem = base64.b64decode(encoded) if encoded else b""
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc if pem else None
    except ValueError:
        return None
