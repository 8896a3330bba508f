"""What becomes of a CertificateSigningRequest: approval, signature, removal. Pure.

Source: the "Certificates and Certificate Signing Requests" page: signers of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
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
    emails: list[str]
    uris: list[str]


def is_approved(request: Object) -> bool:
    return _has(request, "Approved") and not _has(request, "Denied")


def needs_signature(request: Object) -> bool:
    """True if it is approved, one of our signers is asked, and nothing has been answered yet."""
    answered = (request.get("status") or {}).get("certificate") or _has(request, "Failed")
    return request["spec"].get("signerName") in SIGNERS and is_approved(request) and not answered


def fault(signer: str, usages: Sequence[str], asked: Asked) -> str:
    """Say why a signer refuses; empty if it does not."""
    if signer == CLIENT:
        return _client_usage_fault(usages)
    if signer == KUBELET_CLIENT:
        return _first(
            _group_fault(asked),
            "DNS subjectAltNames are not allowed" if asked.dns_names else "",
            "email subjectAltNames are not allowed" if asked.emails else "",
            "URI subjectAltNames are not allowed" if asked.uris else "",
            "IP subjectAltNames are not allowed" if asked.addresses else "",
            _kubelet_usage_fault(usages, "client auth"),
            _name_fault(asked),
        )
    if signer == KUBELET_SERVING:
        nameless = not asked.dns_names and not asked.addresses
        return _first(
            _group_fault(asked),
            "DNS or IP subjectAltName is required" if nameless else "",
            "email subjectAltNames are not allowed" if asked.emails else "",
            "URI subjectAltNames are not allowed" if asked.uris else "",
            _kubelet_usage_fault(usages, "server auth"),
            _name_fault(asked),
        )
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


def lifetime(request: Object, longest: timedelta = MAX_LIFETIME) -> timedelta:
    """How long the certificate is to last: what was asked, within bounds."""
    wanted_s = request["spec"].get("expirationSeconds")
    if wanted_s is None:
        return longest
    return min(max(timedelta(seconds=wanted_s), _MIN_LIFETIME), longest)


def left_s(request: Object, now: datetime, expires: datetime | None = None) -> float | None:
    """Seconds until a request is of no more interest to anybody; None if that day is not set.

    ``expires``: the end of the certificate it got.
    """
    status = request.get("status") or {}
    conditions: list[Object] = status.get("conditions") or []
    if not conditions:
        ends = [parse_time(request["metadata"]["creationTimestamp"]) + _PENDING_KEPT]
    else:
        failed = not status.get("certificate") and _has(request, "Failed")
        counted = {"Denied", "Failed"} if failed else {"Approved", "Denied", "Failed"}
        ends = [
            parse_time(item["lastUpdateTime"]) + _ENDED_KEPT
            for item in conditions
            if item.get("type") in counted and item.get("lastUpdateTime")
        ]
        if expires is not None and _has(request, "Approved"):
            ends.append(expires)
    return min((end - now).total_seconds() for end in ends) if ends else None


def _has(request: Object, type_: str) -> bool:
    conditions = (request.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == type_ for item in conditions)


def _first(*faults: str) -> str:
    return next((fault for fault in faults if fault), "")


def _group_fault(asked: Asked) -> str:
    return "" if asked.organizations == _NODES else "subject organization is not system:nodes"


def _name_fault(asked: Asked) -> str:
    named = asked.common_name.startswith(_NODE_PREFIX)
    return "" if named else f"subject common name does not begin with {_NODE_PREFIX}"


def _client_usage_fault(usages: Sequence[str]) -> str:
    extra = [usage for usage in usages if usage not in {*_TLS_USAGES, "client auth"}]
    if extra:
        return f"invalid usage for client certificate: {extra[0]}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _kubelet_usage_fault(usages: Sequence[str], needed: str) -> str:
    """Key encipherment is for RSA keys only: with and without it are right."""
    wanted = {"digital signature", needed}
    if set(usages) - {"key encipherment"} == wanted:
        return ""
    shown = " ".join(sorted({*wanted, "key encipherment"}))
    return f"usages did not match [{shown}]"
