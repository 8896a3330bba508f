"""Client certificates: whether an authority stands for one, and what its subject says.

TLS has shown that a client holds the key of the first certificate that it sent, and nothing else. Owns:
finding a chain from it to an authority that is believed, good for clients at this moment; it is remembered
until the first of its certificates ends. Refuses: deciding what a subject means. Called by whoever answers
requests with ``Request.shown_certificates``: the API server, kubelets, the endpoints of components.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.go_text import quoted

CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
"""Among a user's extra: which credential was shown."""
_UID: Final = ObjectIdentifier("1.3.6.1.4.1.57683.2")
_MIN_RSA_BITS: Final = 1024
_MAX_REMEMBERED: Final = 4096
_BROKEN_HASHES: Final = ("md5", "sha1")
_BEGINS: Final = b"-----BEGIN CERTIFICATE-----"
_MALFORMED: Final = "x509: malformed certificate"
_NONE: Final = "data does not contain any valid RSA or ECDSA certificates"
USERS: Final = "client-ca-bundle"
PROXIES: Final = "request-header"
"""What bundles are for, in the texts of their faults."""
_UNKNOWN: Final = "x509: certificate signed by unknown authority"
_WRAPPED: Final = re.compile(r" \(encountered processing .*\)$")
_GOOD_USAGES: Final = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)

Shown = tuple[bytes, ...]
"""Certificates (DER) as a client sent them: its own first, then those that may lead to an authority."""


class NotVerified(Exception):
    """No authority stands for a certificate, or not now, or not as a client's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names."""

    common_name: str
    organizations: tuple[str, ...]
    uids: tuple[str, ...]
    credential: str
    """What the certificate itself is called in a user's extra."""

    @property
    def uid(self) -> str:
        """The user's unique id, empty where there is none. Raises NotVerified where it cannot be one."""
        if len(self.uids) > 1:
            raise NotVerified(f"expected 1 UID, but found multiple: [{' '.join(self.uids)}]")
        if "" in self.uids:
            raise NotVerified("UID cannot be an empty string")
        return "".join(self.uids)


@lru_cache(maxsize=1024)
def subject_of(certificate: bytes) -> Subject:
    """Return a DER certificate's subject; of several common names the last, as Go reads them."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = _values(subject, NameOID.COMMON_NAME)
    groups = _values(subject, NameOID.ORGANIZATION_NAME)
    credential = f"X509SHA256={hashlib.sha256(certificate).hexdigest()}"
    return Subject(names[-1] if names else "", groups, _values(subject, _UID), credential)


@lru_cache(maxsize=1024)
def end_of(certificate: bytes) -> datetime:
    """Return until when a DER certificate holds, whoever stands for it."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def _values(subject: x509.Name, kind: ObjectIdentifier) -> tuple[str, ...]:
    return tuple(one.value for one in subject.get_attributes_for_oid(kind) if isinstance(one.value, str))


class ClientAuthorities:
    """A bundle of authorities (PEM) and what was verified with it. Raises ValueError for no certificates.

    Every certificate of the bundle is believed, whether another one stands for it or not. An empty bundle
    (``False``) believes nobody.
    """

    def __init__(self, bundle: bytes = b"") -> None:
        self.bundle = bundle
        self._authorities = _certificates(bundle) if bundle.strip() else []
        self._store = Store(self._authorities) if self._authorities else None
        self._until: OrderedDict[Shown, datetime] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._authorities)

    def verify(self, shown: Shown, now: datetime) -> datetime:
        """Return until when a client's first certificate is good. Raises NotVerified."""
        until = self._until.get(shown)
        if until is not None and now <= until:
            return until
        until = self._verified(shown, now)
        if now > until:  # by less than the second that the library knows
            raise NotVerified(_out_of_time(now, until, until))
        self._until[shown] = until
        if len(self._until) > _MAX_REMEMBERED:
            self._until.popitem(last=False)
        return until

    def _verified(self, shown: Shown, now: datetime) -> datetime:
        if self._store is None or not shown:
            raise NotVerified(_UNKNOWN)
        at = now.astimezone(UTC).replace(microsecond=0)
        try:
            leaf, *others = map(x509.load_der_x509_certificate, shown)
            first_version = leaf.version is x509.Version.v1
        except ValueError as error:
            raise NotVerified(f"x509: malformed certificate: {error}") from error
        if first_version:
            return self._directly_issued(leaf, at)
        try:
            builder = PolicyBuilder().store(self._store).time(at.replace(tzinfo=None))
            verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
            chain = verifier.build_client_verifier().verify(leaf, others).chain
        except VerificationError as error:
            raise NotVerified(_why(str(error), leaf, at)) from error
        except ValueError as error:
            raise NotVerified(f"x509: malformed certificate: {error}") from error
        return min(one.not_valid_after_utc for one in chain)

    def _directly_issued(self, leaf: x509.Certificate, at: datetime) -> datetime:
        """Verify a certificate of the first version: ``openssl x509 -req`` makes it, the library refuses it.

        It has no extensions; an authority of the bundle itself must have signed it.
        """
        for issuer in self._authorities:
            if issuer.subject == leaf.issuer and _is_signed(leaf, issuer) and _is_authority(issuer):
                begins = max(leaf.not_valid_before_utc, issuer.not_valid_before_utc)
                ends = min(leaf.not_valid_after_utc, issuer.not_valid_after_utc)
                if not begins <= at <= ends:
                    raise NotVerified(_out_of_time(at, begins, ends))
                return ends
        raise NotVerified(_UNKNOWN)


def read_bundle(purpose: str, path: Path) -> bytes:
    """Return a file's authorities (PEM). Raises OSError; ValueError, in Go's words, where it has none."""
    bundle, name = path.read_bytes(), quoted(f"{purpose}::{path}")
    if not bundle.strip():
        raise ValueError(f"missing content for CA bundle {name}")
    try:
        _certificates(bundle)
    except ValueError as error:
        raise ValueError(f"error loading CA bundle for {name}: {error}") from error
    return bundle


def _certificates(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise ValueError(_MALFORMED if _BEGINS in bundle else _NONE) from error


def _why(text: str, leaf: x509.Certificate, at: datetime) -> str:
    """Say in Go's words, which the log shows, what the library has against a client's certificate."""
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begins <= at <= ends:
        return _out_of_time(at, begins, ends)
    text = _WRAPPED.sub("", text.removeprefix("validation failed: "))
    above, exhausted, hint = text.rpartition("candidates exhausted: ")
    hint = hint.removeprefix("Python extension validator failed: ValueError: ")
    if not exhausted:
        critical = "unaccounted-for critical" in hint
        return "x509: unhandled critical extension" if critical else f"x509: {above}{hint}"
    return _UNKNOWN if hint.startswith("all candidates") else f'{_UNKNOWN} (possibly because of "{hint}")'


def _out_of_time(at: datetime, begins: datetime, ends: datetime) -> str:
    then = f"before {rfc3339(begins)}" if at < begins else f"after {rfc3339(ends)}"
    return f"x509: certificate has expired or is not yet valid: current time {rfc3339(at)} is {then}"


def _is_signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    hashed = certificate.signature_hash_algorithm
    if hashed is None or hashed.name in _BROKEN_HASHES:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_authority(issuer: x509.Certificate) -> bool:
    """Tell whether one of the bundle may sign clients' certificates; one without extensions may."""
    found = {type(one.value): one.value for one in issuer.extensions}
    if issuer.version is not x509.Version.v1:
        constraints: Any = found.get(x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            return False
    signs: Any = found.get(x509.KeyUsage)
    usages: Any = found.get(x509.ExtendedKeyUsage)
    return (signs is None or signs.key_cert_sign) and (
        usages is None or any(one in usages for one in _GOOD_USAGES)
    )


def identifier(certificate: bytes) -> str:
    """Return what the log calls a certificate (DER): serial number and the identifiers of both keys."""
    shown = x509.load_der_x509_certificate(certificate)
    own = authority = b""
    for extension in shown.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            own = extension.value.digest
        elif isinstance(extension.value, x509.AuthorityKeyIdentifier):
            authority = extension.value.key_identifier or b""
    return f"SN={shown.serial_number}, SKID={_hex(own)}, AKID={_hex(authority)}"


def _hex(data: bytes) -> str:
    return data.hex(":").upper()


# -- what is asked of a certificate beyond its dates, its issuer's signature, flag, path length and names


def _usable(_policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    """Without a list of usages a certificate is good for all."""
    if usage is not None and not any(one in usage for one in _GOOD_USAGES):
        raise ValueError("certificate specifies an incompatible key usage")
    key: Any = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        raise ValueError(f"key of {key.key_size} bits is too short")


def _may_sign(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("parent certificate cannot sign this kind of certificate")


_LEAF: Final = ExtensionPolicy.permit_all().may_be_present(
    x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _usable
)
_AUTHORITY: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _usable)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
)
