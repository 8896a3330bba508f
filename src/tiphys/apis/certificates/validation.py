"""Rules of CertificateSigningRequests and ClusterTrustBundles."""

from __future__ import annotations

import base64
import binascii

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.pem import MalformedPem, bundle_faults, check_chain, check_request
from tiphys.apis.certificates.signer import bundle_name, signer_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import difference
from tiphys.apis.meta_validation import mask_trailing_dash

_SHORTEST_S = 600
_DECISIONS = ("Approved", "Denied")
_FINAL = ("Approved", "Denied", "Failed")
_STATUSES = ("False", "True", "Unknown")
_LEGACY = "kubernetes.io/legacy-unknown"
_BUNDLE_MAX = 1 << 20
_PATH = "status.conditions"
_USAGES = frozenset(
    {
        "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
        "data encipherment", "decipher only", "digital signature", "email protection", "encipher only",
        "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment",
        "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
    }
)  # fmt: skip


def _decoded(value: object) -> str:
    try:
        return base64.b64decode(str(value or "")).decode("ascii", "replace")
    except binascii.Error:
        return ""


def validate_request(obj: Object) -> list[FieldError]:
    """Return every fault of a new CertificateSigningRequest."""
    return _request(obj, {})


def _request(obj: Object, old: Object) -> list[FieldError]:
    """The faults of a request; those that it had before are tolerated where the API does so."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    try:
        check_request(_decoded(spec.get("request")))
    except MalformedPem as error:
        faults.append(invalid("spec.request", spec.get("request"), str(error)))
    faults += _usages(spec.get("usages") or [], peek(old, "spec").get("usages") or [])
    signer = spec.get("signerName") or ""
    if signer == _LEGACY and peek(old, "spec").get("signerName") != _LEGACY:
        text = "the legacy signerName is not allowed via this API version"
        faults.append(invalid("spec.signerName", signer, text))
    else:
        faults += signer_faults(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST_S:
        text = f"may not specify a duration less than {_SHORTEST_S} seconds ({_SHORTEST_S // 60} minutes)"
        faults.append(invalid("spec.expirationSeconds", seconds, text))
    return faults + _conditions(obj, old) + _certificate(obj, old)


def _usages(usages: list[str], before: list[str]) -> list[FieldError]:
    faults = [] if usages else [required("spec.usages")]
    if set(before) <= _USAGES:
        faults += [
            not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES))
            for index, usage in enumerate(usages)
            if usage not in _USAGES
        ]
    if len(set(before)) == len(before):
        faults += [
            duplicate(f"spec.usages[{index}]", usage)
            for index, usage in enumerate(usages)
            if usage in usages[:index]
        ]
    return faults


def _types(obj: Object) -> list[str]:
    return [str(condition.get("type") or "") for condition in each(obj, "status", "conditions")]


def _conditions(obj: Object, old: Object) -> list[FieldError]:
    before, seen = _types(old), list[str]()
    faults: list[FieldError] = []
    for index, condition in enumerate(each(obj, "status", "conditions")):
        at, kind = f"{_PATH}[{index}]", str(condition.get("type") or "")
        if not kind and "" not in before:
            faults.append(required(f"{at}.type"))
        faults += _condition_status(condition.get("status") or "", kind, f"{at}.status")
        other = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if other in seen and not set(_DECISIONS) <= set(before):
            text = "Approved and Denied conditions are mutually exclusive"
            faults.append(invalid(_PATH, kind, text))
        if kind in seen and len(set(before)) == len(before):
            faults.append(duplicate(f"{at}.type", kind))
        seen.append(kind)
    return faults


def _condition_status(status: str, kind: str, path: str) -> list[FieldError]:
    if not status:
        return [required(path)]
    known = ("True",) if kind in _FINAL else _STATUSES
    return [] if status in known else [not_supported(path, status, known)]


def _certificate(obj: Object, old: Object) -> list[FieldError]:
    issued, before = (peek(part, "status").get("certificate") for part in (obj, old))
    if not issued or issued == before:
        return []
    try:
        check_chain(_decoded(issued))
    except MalformedPem as error:
        return [invalid("status.certificate", "<certificate data>", str(error))]
    return []


def _changed(new: Object, old: Object, *, decides: bool = False, issues: bool = False) -> list[FieldError]:
    """The faults of an update that may, or may not, decide on the request and issue its certificate."""
    faults = _request(new, old)
    now, before = _types(new), _types(old)
    for kind in _FINAL:
        if now.count(kind) < before.count(kind):
            faults.append(forbidden(_PATH, f'updates may not remove a condition of type "{kind}"'))
    for kind in () if decides else _DECISIONS:
        if now.count(kind) > before.count(kind):
            faults.append(forbidden(_PATH, f'updates may not add a condition of type "{kind}"'))
        elif now.count(kind) == before.count(kind):
            faults += _rewritten(new, old, kind)
    issued, earlier = (peek(part, "status").get("certificate") for part in (new, old))
    if issued != earlier and not issues:
        faults.append(forbidden("status.certificate", "updates may not set certificate content"))
    elif issued != earlier and earlier:
        text = "updates may not modify existing certificate content"
        faults.append(forbidden("status.certificate", text))
    return faults


def _rewritten(new: Object, old: Object, kind: str) -> list[FieldError]:
    now, before = (
        [condition for condition in each(part, "status", "conditions") if condition.get("type") == kind]
        for part in (new, old)
    )
    if now == before:
        return []
    changed = difference("CertificateSigningRequestCondition", before, now)
    return [forbidden(_PATH, f'updates may not modify a condition of type "{kind}"\n{changed}')]


def validate_request_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a request, which neither decides on it nor issues a certificate."""
    return _changed(new, old)


def validate_request_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of a request's status: a certificate is issued once."""
    return _changed(new, old, issues=True)


def validate_request_approval(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of approving or denying a request: it is decided once."""
    return _changed(new, old, decides=True)


def validate_bundle(obj: Object) -> list[FieldError]:
    """Return every fault of a new ClusterTrustBundle."""
    return _bundle(obj, parse=True)


def _bundle(obj: Object, *, parse: bool) -> list[FieldError]:
    spec, meta = peek(obj, "spec"), peek(obj, "metadata")
    signer, prefix, name = spec.get("signerName") or "", meta.get("generateName"), meta.get("name")
    faults: list[FieldError] = []
    if prefix:
        texts = bundle_name(mask_trailing_dash(prefix), signer)
        faults += invalid_all("metadata.generateName", prefix, texts)
    if name:
        faults += invalid_all("metadata.name", name, bundle_name(name, signer))
    if signer:
        faults += signer_faults(signer, "spec.signerName")
    path, anchors = "spec.trustBundle", str(spec.get("trustBundle") or "")
    if not parse:
        return faults
    if len(anchors.encode()) > _BUNDLE_MAX:
        return [*faults, too_long(path, _BUNDLE_MAX)]
    return faults + invalid_all(path, "<value omitted>", bundle_faults(anchors))


def validate_bundle_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a ClusterTrustBundle; its signer never changes."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = _bundle(new, parse=spec.get("trustBundle") != before.get("trustBundle"))
    return faults + immutable("spec.signerName", spec.get("signerName") or "", before.get("signerName") or "")
