"""Strategies of the ``certificates.k8s.io`` group. Who asked for a certificate is the server's to fill in."""

from __future__ import annotations

import base64
import binascii

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.strategy import Strategy

_GROUP = "certificates.k8s.io"
_SHORTEST_S = 600
_DECISIONS = ("Approved", "Denied", "Failed")
_USAGES = frozenset(
    {
        "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
        "data encipherment", "decipher only", "digital signature", "email protection", "encipher only",
        "ipsec end system",
        "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc",
        "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
    }
)  # fmt: skip


def prepare_request(obj: Object) -> None:
    """A new request is neither approved nor issued."""
    obj["status"] = {}


def prepare_request_update(new: Object, old: Object) -> None:
    """What was asked for never changes."""
    new["spec"] = old.get("spec") or {}


def validate_request(obj: Object) -> list[FieldError]:
    """Return every fault of a CertificateSigningRequest."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    try:
        text = base64.b64decode(str(spec.get("request") or "")).decode("ascii", "replace")
    except binascii.Error:
        text = ""
    if "-----BEGIN CERTIFICATE REQUEST-----" not in text:
        wrong = "PEM block type must be CERTIFICATE REQUEST"
        faults.append(invalid("spec.request", spec.get("request") or "", wrong))
    usages = spec.get("usages") or []
    if not usages:
        faults.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            faults.append(not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
        elif usage in usages[:index]:
            faults.append(duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    if not signer:
        faults.append(required("spec.signerName"))
    else:
        faults += invalid_all("spec.signerName", signer, names.is_domain_prefixed_path(signer))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_S:
        wrong = f"may not specify a duration less than {_SHORTEST_S} seconds ({_SHORTEST_S // 60} minutes)"
        faults.append(invalid("spec.expirationSeconds", seconds, wrong))
    return faults


def validate_request_conditions(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of approving, denying or failing a request: it is decided once."""
    faults: list[FieldError] = []
    types = [str(condition.get("type")) for condition in each(new, "status", "conditions")]
    for index, condition in enumerate(each(new, "status", "conditions")):
        path, kind = f"status.conditions[{index}]", condition.get("type")
        if not kind:
            faults.append(required(f"{path}.type"))
        if not condition.get("status"):
            faults.append(required(f"{path}.status"))
        elif kind in _DECISIONS and condition["status"] != "True":
            faults.append(not_supported(f"{path}.status", condition["status"], ["True"]))
        if kind in ("Approved", "Denied") and {"Approved", "Denied"} <= set(types):
            other = "Denied" if kind == "Approved" else "Approved"
            wrong = f"{kind} and {other} conditions are mutually exclusive"
            faults.append(invalid(f"{path}.type", kind, wrong))
    for condition in each(old, "status", "conditions"):
        if condition.get("type") in _DECISIONS and condition.get("type") not in types:
            wrong = f'updates may not remove a condition of type "{condition["type"]}"'
            faults.append(forbidden("status.conditions", wrong))
    return faults


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK(_GROUP, "v1", "CertificateSigningRequest"),
        prepare_create=prepare_request,
        prepare_update=prepare_request_update,
        validate=validate_request,
        validate_update=lambda new, _old: validate_request(new),
        validate_status_update=validate_request_conditions,
        validate_name=lambda _name: [],
    ),
    Strategy(GVK(_GROUP, "v1beta1", "ClusterTrustBundle"), unconditional_update=False),
    Strategy(GVK(_GROUP, "v1beta1", "PodCertificateRequest"), unconditional_update=False),
)
