"""What becomes of a CertificateSigningRequest: approval, signature, removal. Pure.

Source: the "Certificates and Certificate Signing Requests" page: signers of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.meta import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
MAX_LIFETIME = timedelta(days=365)
_MIN_LIFETIME = timedelta(minutes=10)
_NODE_PREFIX = "system:node:"
_NODES = ["system:nodes"]
_ENDED_KEPT = timedelta(hours=1)
_PENDING_KEPT = timedelta(hours=24)
_TLS_USAGES = {"digital signature", "key encipherment"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request itself says."""

    common_name: str
    organizations: list[str]
    dns_names: list[str]
    addresses: list[str]
    others: list[str]
    """E-mail addresses and URIs."""


def is_approved(request: Object) -> bool:
    return _has(request, "Approved") and not _has(request, "Denied")


def needs_signature(request: Object) -> bool:
    """True if it is approved, one of our signers is asked, and nothing has been answered yet."""
    answered = (request.get("status") or {}).get("certificate") or _has(request, "Failed")
    return request["spec"].get("signerName") in SIGNERS and is_approved(request) and not answered


def fault(signer: str, usages: Sequence[str], asked: Asked) -> str:
    """Say why a signer refuses; empty if it does not."""
    usage_set = set(usages)
    if signer == CLIENT:
        return _usage_fault(usage_set, "client auth")
    if signer == KUBELET_CLIENT:
        if asked.dns_names or asked.addresses or asked.others:
            return "subjectAltNames are not allowed"
        return _node_fault(asked) or _usage_fault(usage_set, "client auth")
    if signer == KUBELET_SERVING:
        if asked.others:
            return "email and URI subjectAltNames are not allowed"
        if not asked.dns_names and not asked.addresses:
            return "DNS or IP subjectAltName is required"
        return _node_fault(asked) or _usage_fault(usage_set, "server auth")
    return ""


def is_kubelet_client(request: Object, asked: Asked) -> bool:
    """True for a request that the approver judges."""
    spec = request["spec"]
    return spec.get("signerName") == KUBELET_CLIENT and not fault(
        KUBELET_CLIENT, spec.get("usages") or (), asked
    )


def is_own(request: Object, asked: Asked) -> bool:
    """True if a node asks for a certificate in its own name."""
    return bool(request["spec"].get("username") == asked.common_name)


def lifetime(request: Object) -> timedelta:
    """How long the certificate is to last: what was asked, within bounds."""
    wanted_s = request["spec"].get("expirationSeconds")
    if wanted_s is None:
        return MAX_LIFETIME
    return min(max(timedelta(seconds=wanted_s), _MIN_LIFETIME), MAX_LIFETIME)


def left_s(request: Object, now: datetime) -> float:
    """Seconds until a request is of no more interest to anybody."""
    born = parse_time(request["metadata"]["creationTimestamp"])
    kept = born + _PENDING_KEPT
    for condition in (request.get("status") or {}).get("conditions") or ():
        said = condition.get("lastUpdateTime") or condition.get("lastTransitionTime")
        kept = min(kept, (parse_time(said) if said else born) + _ENDED_KEPT)
    return (kept - now).total_seconds()


def _has(request: Object, type_: str) -> bool:
    conditions = (request.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == type_ for item in conditions)


def _node_fault(asked: Asked) -> str:
    if asked.organizations != _NODES:
        return "subject organization is not system:nodes"
    return (
        ""
        if asked.common_name.startswith(_NODE_PREFIX)
        else "subject common name does not begin with system:node:"
    )


def _usage_fault(usages: set[str], needed: str) -> str:
    if needed not in usages:
        return f"usages did not include {needed}"
    extra = sorted(usages - _TLS_USAGES - {needed})
    return f"usages are not allowed: {', '.join(extra)}" if extra else ""
