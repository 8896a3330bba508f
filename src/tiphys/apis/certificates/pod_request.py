"""Rules of PodCertificateRequests: for whom a certificate is asked, with which key, what a signer answers.

What the server's clock says of an answer is for its admission. Source: certificates.k8s.io/v1beta1.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tiphys.apimachinery import names
from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    invalid,
    invalid_all,
    invalid_unshown,
    not_supported,
    required,
    too_long,
)
from tiphys.apimachinery.mail import is_address
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.pem import Block, blocks
from tiphys.apis.certificates.signer import expiration_range, signer_faults, user_annotation_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import immutable_inside
from tiphys.apis.value_validation import conditions

_UID_MAX = 128
_KEY_MAX = 10 * 1024
_CHAIN_MAX = 100 * 1024
_KEY, _PROOF, _STUB = "spec.pkixPublicKey", "spec.proofOfPossession", "spec.stubPKCS10Request"
_CHAIN = "status.certificateChain"
_KNOWN = ("Issued", "Denied", "Failed")
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS = (3072, 4096)
_UNPROVEN = "could not verify proof-of-possession signature"
_MARGIN = timedelta(minutes=10)


def validate_pod_request(obj: Object) -> list[FieldError]:
    """Return every fault of a new PodCertificateRequest."""
    spec = peek(obj, "spec")
    signer = spec.get("signerName") or ""
    faults = signer_faults(signer, "spec.signerName")
    faults += user_annotation_faults(
        peek(spec, "unverifiedUserAnnotations"), "spec.unverifiedUserAnnotations"
    )
    for who, name_key, uid_key in (
        (names.is_dns1123_subdomain, "podName", "podUID"),
        (names.is_dns1123_subdomain, "serviceAccountName", "serviceAccountUID"),
        (names.is_dns1123_subdomain, "nodeName", "nodeUID"),
    ):
        name, uid, at = spec.get(name_key) or "", spec.get(uid_key) or "", f"spec.{uid_key}"
        faults += invalid_all(f"spec.{name_key}", name, who(name))
        if not uid:
            faults.append(invalid(at, uid, "must not be empty"))
        if len(uid) > _UID_MAX:
            faults.append(too_long(at, _UID_MAX))
    seconds, at = spec.get("maxExpirationSeconds"), "spec.maxExpirationSeconds"
    if seconds is None:
        return [*faults, required(at, "must be set")]
    least, most = expiration_range(signer)
    if not least <= seconds <= most:
        faults.append(invalid(at, seconds, f"must be in the range [{least}, {most}]"))
    return faults + (_key_faults(spec) if spec.get("pkixPublicKey") else _stub_faults(spec))


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value or ""))
    except binascii.Error:
        return b""


def _stub_faults(spec: Object) -> list[FieldError]:
    """The request that stands for a key proves that its sender has the key."""
    data = _bytes(spec.get("stubPKCS10Request"))
    if not data:
        return [required(_STUB)]
    if len(data) > _KEY_MAX:
        return [too_long(_STUB, _KEY_MAX)]
    try:
        request = x509.load_der_x509_csr(data)
        proven = request.is_signature_valid
    except Exception:
        # The library has many kinds of errors for bytes that are no request.
        return [invalid_unshown(_STUB, "must be a valid PKCS#10 certificate signing request")]
    return [] if proven else [invalid_unshown(_STUB, _UNPROVEN)]


def _key_faults(spec: Object) -> list[FieldError]:
    data, proof = _bytes(spec.get("pkixPublicKey")), _bytes(spec.get("proofOfPossession"))
    if len(data) > _KEY_MAX:
        return [too_long(_KEY, _KEY_MAX)]
    if len(proof) > _KEY_MAX:
        return [too_long(_PROOF, _KEY_MAX)]
    try:
        key = serialization.load_der_public_key(data)
    except Exception:
        # The library has many kinds of errors for bytes that are no key.
        return [invalid(_KEY, spec.get("pkixPublicKey"), "must be a valid PKIX-serialized public key")]
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, _CURVES):
        curve = f"curve {key.curve.name.upper().replace('SECP', 'P-').removesuffix('R1')}"
        return [invalid(_KEY, curve, "elliptic public keys must use curve P256 or P384")]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in _RSA_BITS:
        text = "RSA keys must have modulus size 3072 or 4096"
        return [invalid(_KEY, f"{key.key_size}-bit modulus", text)]
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        text = "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
        return [invalid(_KEY, spec.get("pkixPublicKey"), text)]
    return [] if _proven(key, proof, str(spec.get("podUID"))) else [invalid_unshown(_PROOF, _UNPROVEN)]


def _proven(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey, proof: bytes, uid: str
) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(proof, uid.encode())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(proof, uid.encode(), ec.ECDSA(hashes.SHA256()))
        else:
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
            key.verify(proof, uid.encode(), pss, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def validate_pod_request_update(new: Object, old: Object) -> list[FieldError]:
    """What was asked for never changes."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    return immutable_inside("spec", "PodCertificateRequestSpec", spec, before)


def _holds(obj: Object, *types: str) -> bool:
    return any(
        condition.get("type") in types and condition.get("status") == "True"
        for condition in each(obj, "status", "conditions")
    )


def validate_pod_request_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of answering a request, which is done once."""
    status, before = peek(new, "status"), peek(old, "status")
    faults = _answers(status)
    if faults:
        return faults
    if _holds(old, *_KNOWN):
        text = "immutable after PodCertificateRequest is issued, denied, or failed"
        return [] if status == before else [invalid_unshown("status", text)]
    if _holds(new, "Denied", "Failed"):
        text = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        others = {key for key, value in status.items() if value not in (None, "") and key != "conditions"}
        return [invalid_unshown("status", text)] if others else []
    if _holds(new, "Issued"):
        return _issued(status, peek(old, "spec"))
    text = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    return [] if status == before else [invalid_unshown("status", text)]


def _answers(status: Object) -> list[FieldError]:
    """One answer, and a true one; the API's own path has a dot before the index."""
    faults: list[FieldError] = []
    known = 0
    for index, condition in enumerate(each(status, "conditions")):
        at, kind = f"status.conditions.[{index}]", condition.get("type") or ""
        if kind not in _KNOWN:
            faults.append(not_supported(f"{at}.type", kind, _KNOWN))
            continue
        known += 1
        if known > 1:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            faults.append(invalid(f"{at}.type", kind, text))
        if condition.get("status") != "True":
            faults.append(not_supported(f"{at}.status", condition.get("status") or "", ("True",)))
    return faults + conditions(status, "status.conditions")


def _certificate(block: Block | None) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(block.data) if block else None
    except ValueError:
        return None


def _issued(status: Object, spec: Object) -> list[FieldError]:
    chain = str(status.get("certificateChain") or "")
    if len(chain.encode()) > _CHAIN_MAX:
        return [too_long(_CHAIN, _CHAIN_MAX)]
    found = list(blocks(chain))
    if not found:
        text = "issued certificate chain must contain at least one certificate"
        return [invalid(_CHAIN, chain, text)]
    if found[0].type != "CERTIFICATE":
        text = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
        return [invalid(_CHAIN, chain, text)]
    leaf = _certificate(found[0])
    if leaf is None:
        return [invalid(_CHAIN, chain, "leaf certificate does not parse as valid X.509")]
    faults = _alternative_names(leaf)
    if not _same_key(leaf, spec):
        text = "leaf certificate was not issued to the requested public key"
        return [*faults, invalid(_CHAIN, chain, text)]
    faults += _times_are_set(status)
    if faults:
        return faults
    return _times(status, leaf, spec) or _rest(found[1:], chain)


def _alternative_names(leaf: x509.Certificate) -> list[FieldError]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    faults: list[FieldError] = []
    for name in found.get_values_for_type(x509.DNSName):
        if not name:
            faults.append(invalid(_CHAIN, name, "leaf certificate should not contain empty DNSName"))
        if ".." in name:
            faults.append(invalid(_CHAIN, name, "leaf certificate's DNSName should not contain '..'"))
        if name.startswith(".") or name.endswith("."):
            text = "leaf certificate's DNSName should not start or end with '.'"
            faults.append(invalid(_CHAIN, name, text))
    for address in found.get_values_for_type(x509.RFC822Name):
        if not is_address(address):
            text = "leaf certificate should not contain invalid EmailAddress"
            faults.append(invalid(_CHAIN, address, text))
    return faults


def _same_key(leaf: x509.Certificate, spec: Object) -> bool:
    try:
        if spec.get("pkixPublicKey"):
            wanted = serialization.load_der_public_key(_bytes(spec["pkixPublicKey"]))
        else:
            wanted = x509.load_der_x509_csr(_bytes(spec.get("stubPKCS10Request"))).public_key()
        return bool(wanted == leaf.public_key())
    except Exception:
        # A key that cannot be read is nobody's.
        return False


def _times_are_set(status: Object) -> list[FieldError]:
    text = "must be present and consistent with the issued certificate"
    faults = [required(f"status.{key}", text) for key in ("notBefore", "notAfter") if not status.get(key)]
    if not status.get("beginRefreshAt"):
        text = "must be present and in the range [notbefore+10min, notafter-10min]"
        faults.append(required("status.beginRefreshAt", text))
    return faults


def moment_faults(path: str, moment: datetime, detail: str) -> list[FieldError]:
    """A moment breaks a rule that ``detail`` tells."""
    return [invalid(path, f"{moment:%Y-%m-%dT%H:%M:%SZ}", detail)]


def _lifetime_faults(lifetime: timedelta, detail: str) -> list[FieldError]:
    """A span of time is shown in nanoseconds."""
    return [invalid(_CHAIN, int(lifetime.total_seconds()) * 1_000_000_000, detail)]


def _times(status: Object, leaf: x509.Certificate, spec: Object) -> list[FieldError]:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    for key, name, moment in (("notBefore", "NotBefore", begins), ("notAfter", "NotAfter", ends)):
        told = parse_time(status[key])
        if told != moment:
            text = f"must be set to the {name} time encoded in the leaf certificate"
            return moment_faults(f"status.{key}", told, text)
    lifetime, most = ends - begins, spec.get("maxExpirationSeconds") or 0
    if lifetime < timedelta(hours=1):
        return _lifetime_faults(lifetime, "leaf certificate lifetime must be >= 1 hour")
    if lifetime > timedelta(seconds=most):
        text = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
        return _lifetime_faults(lifetime, text)
    refresh = parse_time(status["beginRefreshAt"])
    if refresh < begins + _MARGIN:
        text = "must be at least 10 minutes after status.notBefore"
        return moment_faults("status.beginRefreshAt", refresh, text)
    if refresh > ends - _MARGIN:
        text = "must be at least 10 minutes before status.notAfter"
        return moment_faults("status.beginRefreshAt", refresh, text)
    return []


def _rest(found: list[Block], chain: str) -> list[FieldError]:
    for block in found:
        if block.type != "CERTIFICATE":
            text = "issued certificate chain must consist entirely of CERTFICATE PEM blocks"
            return [invalid(_CHAIN, chain, text)]
        if _certificate(block) is None:
            return [invalid(_CHAIN, chain, "intermediate certificate does not parse as valid X.509")]
    return []
