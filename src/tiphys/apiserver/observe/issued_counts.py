"""Certificates that clients asked for with a duration, by signer, and those that last as long.

Owns: upstream's ``apiserver_certificates_registry_csr_*``. Called where the status of a
CertificateSigningRequest was written.
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Final

from cryptography import x509

from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apimachinery.meta import Object

log = logging.getLogger(__name__)

_PREFIX: Final = "apiserver_certificates_registry_csr"
_OWN_SIGNERS: Final = "kubernetes.io/"
_OTHERS: Final = "other"
_BACKDATED_S: Final = 300.0
"""Signers let certificates begin a little earlier."""
_TOLERATED: Final = 0.05


class IssuedCounts:
    """One server's."""

    def __init__(self) -> None:
        self.requested: Counter[str] = Counter()
        self.honored: Counter[str] = Counter()

    def written(self, old: Object, new: Object) -> None:
        """Count a request that has been given its certificate, where it said for how long it wants one."""
        wanted_s = old["spec"].get("expirationSeconds")
        issued = (new.get("status") or {}).get("certificate")
        if wanted_s is None or not issued or (old.get("status") or {}).get("certificate"):
            return
        name = old["spec"]["signerName"]
        signer = name if name.startswith(_OWN_SIGNERS) else _OTHERS
        self.requested[signer] += 1
        try:
            lasts_s = _seconds(issued)
        except ValueError as error:
            log.error("certificate not read csr=%s error=%s", old["metadata"]["name"], error)
            return
        if is_honored(wanted_s, lasts_s):
            self.honored[signer] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        for name, text, counts in (
            ("requested", "with a requested duration", self.requested),
            ("honored", "with a requested duration that was honored", self.honored),
        ):
            family = CounterMetricFamily(
                f"{_PREFIX}_{name}_duration",
                f"[ALPHA] Total number of issued CSRs {text}, sliced by signer (only kubernetes.io signer "
                "names are specifically identified)",
                labels=("signerName",),
            )
            family.add_all(counts)
            yield family


def is_honored(wanted_s: float, lasts_s: float) -> bool:
    """Tell whether a certificate lasts about as long as was asked for."""
    return abs(wanted_s - lasts_s) < _BACKDATED_S + wanted_s * _TOLERATED


def _seconds(issued: str) -> float:
    """Return how long the first certificate of a bundle lasts. Raises ValueError."""
    first = x509.load_pem_x509_certificates(base64.b64decode(issued))[0]
    return (first.not_valid_after_utc - first.not_valid_before_utc).total_seconds()
