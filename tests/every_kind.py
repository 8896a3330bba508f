"""A small object of every kind that can be created, from ``integration/manifests.yaml``."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.featuregates import resolve
from tiphys.wire import pki

MANIFESTS = Path(__file__).parent / "integration" / "manifests.yaml"
_FEATURES = (
    "ClusterTrustBundle",
    "DRAResourcePoolStatus",
    "GenericWorkload",
    "PodCertificateRequest",
    "StorageVersionMigrator",
)
ALL_SERVED: dict[str, Any] = {
    "runtime_config": {"api/all": "true"},
    "feature_gates": resolve(dict.fromkeys(_FEATURES, True)),
}
"""Options of a server that serves alpha and beta versions, and kinds whose features are off by themselves."""


def every_kind(namespace: str) -> list[dict[str, Any]]:
    """Return the objects, which are the caller's own; what they say of a namespace is of the given one."""
    words = {**_made(), "sweep-namespace": namespace}
    return [_fill(one, words) for one in _read()]


def filled(obj: Any, words: dict[str, str]) -> Any:
    """Return a copy of what a manifest says, with its words replaced."""
    return _fill(obj, {**_made(), **words})


@cache
def _read() -> list[Any]:
    return list(yaml.load_all(MANIFESTS.read_text(), yaml.CSafeLoader))


@cache
def _made() -> dict[str, str]:
    authority = pki.make_ca("sweep", RealClock().now()).certificate.decode()
    return {"@CSR@": _signing_request(), "@CA@": authority}


def _signing_request() -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def _fill(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, words) for inner in value]
    return words.get(value, value) if isinstance(value, str) else value


def full(value: Any) -> Any:
    """Leave out what protobuf cannot tell from nothing."""
    if isinstance(value, dict):
        pairs = ((key, full(inner)) for key, inner in value.items())
        return {key: inner for key, inner in pairs if inner or isinstance(inner, bool)}
    return [full(inner) for inner in value] if isinstance(value, list) else value
