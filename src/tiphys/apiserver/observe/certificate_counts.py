"""Servers behind this one whose certificates go by old rules: counted, and told to audit.

Owns: upstream's metrics and annotations of them. Called where webhooks and aggregated API servers are asked.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.wire.peer_names import NameRefused

WEBHOOKS: Final = "apiserver_webhooks"
AGGREGATOR: Final = "apiserver_kube_aggregator"
AUDITED: Final[ContextVar[MutableMapping[str, str] | None]] = ContextVar("audited", default=None)
"""The annotations of the request under way, for those who are asked without it; None: it is not audited."""
_WEAK: Final = 68
"""OpenSSL's verification code of a signature whose digest is too weak."""
_REASONS: Final = {
    "missing-san": "relies on a legacy Common Name field instead of the SAN extension for subject validation",
    "insecure-sha1": "uses an insecure SHA-1 signature",
}
_COUNTED: Final = {
    "missing-san": "servers without alternative names in their certificates",
    "insecure-sha1": "servers whose certificates are signed with SHA-1",
}


class CertificateCounts:
    """The numbers of one server. ``who`` asks: ``WEBHOOKS`` or ``AGGREGATOR``."""

    def __init__(self) -> None:
        self._found: Counter[tuple[str, str]] = Counter()

    def refused(self, who: str, error: BaseException) -> tuple[str, ...]:
        """Count a connection that failed, and return what was old about the certificate."""
        cause = error.__cause__
        found = []
        if isinstance(cause, NameRefused) and cause.is_legacy:
            found.append("missing-san")
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code == _WEAK:
            found.append("insecure-sha1")
        return self._count(who, found)

    def shown(self, who: str, certificate: bytes | None) -> tuple[str, ...]:
        """Count what is old about a certificate (DER) that nobody has verified, and return it."""
        return self._count(who, list(_faults(certificate)) if certificate else [])

    def _count(self, who: str, found: list[str]) -> tuple[str, ...]:
        self._found.update((who, one) for one in found)
        return tuple(found)

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers as they stand."""
        for who in (WEBHOOKS, AGGREGATOR):
            for one, what in _COUNTED.items():
                yield CounterMetricFamily(
                    f"{who}_x509_{one.replace('-', '_')}", f"[ALPHA] Requests for {what}.",
                    value=self._found[who, one],
                )  # fmt: skip


def audit_notes(found: tuple[str, ...], host: str) -> Iterator[tuple[str, str]]:
    """Yield what audit is told of a host."""
    for one in found:
        yield f"{one}.invalid-cert.kubernetes.io/{host}", _REASONS[one]


def annotate(scope: MutableMapping[str, Any], found: tuple[str, ...], host: str) -> None:
    """Keep it for whoever audits a request."""
    if found and "audit_annotations" in scope:
        for key, value in audit_notes(found, host):
            scope["audit_annotations"].setdefault(key, value)


def _faults(der: bytes) -> Iterator[str]:
    try:
        certificate = x509.load_der_x509_certificate(der)
        named = any(one.oid == x509.SubjectAlternativeName.oid for one in certificate.extensions)
        weak = isinstance(certificate.signature_hash_algorithm, SHA1)
    except ValueError:
        return
    if not named:
        yield "missing-san"
    if weak and certificate.issuer != certificate.subject:
        yield "insecure-sha1"
