"""What a pod may ask of a signer, how it proves its key, and what a signer may answer."""

# ruff: noqa: E501

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.meta import GVK
from tiphys.apis.core.volume_validation import validate_volumes
from tiphys.apis.strategies import strategy_for

REQUEST = strategy_for(GVK("certificates.k8s.io", "v1beta1", "PodCertificateRequest"))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CHAIN = "status.certificateChain"
KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
UNPROVEN = "could not verify proof-of-possession signature"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@cache
def stub() -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return encoded(builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


def request(**spec: Any) -> dict[str, Any]:
    whole = {
        "signerName": "a.example/web",
        "podName": "p",
        "podUID": "pu",
        "serviceAccountName": "s",
        "serviceAccountUID": "su",
        "nodeName": "n",
        "nodeUID": "nu",
        "maxExpirationSeconds": 86400,
        "stubPKCS10Request": stub(),
        **spec,
    }
    return {
        "metadata": {"name": "r"},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def public(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return encoded(key.public_key().public_bytes(serialization.Encoding.DER, form))


def keyed(key: Any, proof: bytes) -> dict[str, Any]:
    return request(stubPKCS10Request=None, pkixPublicKey=public(key), proofOfPossession=encoded(proof))


EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(b"7" * 32)
CURVE = ec.derive_private_key(7, ec.SECP224R1())
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "with a request": (request(), []),
    "with a key": (keyed(EDWARDS, EDWARDS.sign(b"pu")), []),
    "with a key on a curve": (keyed(KEY, KEY.sign(b"pu", ec.ECDSA(hashes.SHA256()))), []),
    "with another's key": (
        keyed(EDWARDS, b"x" * 64),
        [f"spec.proofOfPossession: Invalid value: {UNPROVEN}"],
    ),
    "with a signed wrong text": (
        keyed(EDWARDS, EDWARDS.sign(b"other")),
        [f"spec.proofOfPossession: Invalid value: {UNPROVEN}"],
    ),
    "with a long key": (
        request(stubPKCS10Request=None, pkixPublicKey=encoded(bytes(10241))),
        ["spec.pkixPublicKey: Too long: may not be more than 10240 bytes"],
    ),
    "on another curve": (
        keyed(CURVE, b""),
        [
            'spec.pkixPublicKey: Invalid value: "curve P-224": elliptic public keys must use curve P256 or P384'
        ],
    ),
    "with no key": (
        request(stubPKCS10Request=None, pkixPublicKey=encoded(b"x")),
        [f'spec.pkixPublicKey: Invalid value: "{encoded(b"x")}": must be a valid PKIX-serialized public key'],
    ),
    "with nothing": (
        request(stubPKCS10Request=None),
        ["spec.stubPKCS10Request: Required value"],
    ),
    "with what is no request": (
        request(stubPKCS10Request=encoded(b"x")),
        ["spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 certificate signing request"],
    ),
    "with very much": (
        request(stubPKCS10Request=encoded(b"x" * 10241)),
        ["spec.stubPKCS10Request: Too long: may not be more than 10240 bytes"],
    ),
    "of nobody": (
        request(podUID="", nodeUID="x" * 129),
        [
            'spec.podUID: Invalid value: "": must not be empty',
            "spec.nodeUID: Too long: may not be more than 128 bytes",
        ],
    ),
    "for ever": (
        request(maxExpirationSeconds=7862401),
        ["spec.maxExpirationSeconds: Invalid value: 7862401: must be in the range [3600, 7862400]"],
    ),
    "of the cluster's own signer": (
        request(signerName="kubernetes.io/kube-apiserver-client-pod", maxExpirationSeconds=86401),
        ["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
    ),
    "without an end": (
        request(maxExpirationSeconds=None),
        ["spec.maxExpirationSeconds: Required value: must be set"],
    ),
    "with words": (
        request(unverifiedUserAnnotations={"a.b/c": "d", "plain": ""}),
        [
            'spec.unverifiedUserAnnotations: Invalid value: "plain": must be a domain-prefixed key (such as "acme.io/foo")'
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_new(obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in REQUEST.validate(obj)] == expected


def test_a_day_is_asked_for_by_default() -> None:
    for asked, expected in ((None, 86400), (3600, 3600)):
        obj = request(maxExpirationSeconds=asked)
        REQUEST.default(obj)
        assert obj["spec"]["maxExpirationSeconds"] == expected


def test_a_request_stays() -> None:
    assert REQUEST.validate_update(request(), request()) == []
    found = REQUEST.validate_update(request(podName="q"), request())
    assert [fault.field for fault in found] == ["spec"]


def leaf(key: Any = KEY, hours: float = 24, names: tuple[str, ...] = (), emails: tuple[str, ...] = ()) -> str:
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(hours=hours))
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.RFC822Name(email) for email in emails]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(OTHER, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def said(*types: str, status: str = "True") -> list[dict[str, str]]:
    part = {"reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return [{"type": type_, "status": status, **part} for type_ in types]


def issued(chain: str, hours: float = 24, **status: Any) -> dict[str, Any]:
    whole = {
        "conditions": said("Issued"),
        "certificateChain": chain,
        "notBefore": "2026-01-01T00:00:00Z",
        "notAfter": f"{BEGIN + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}",
        "beginRefreshAt": "2026-01-01T00:20:00Z",
        **status,
    }
    return {key: value for key, value in whole.items() if value is not None}


BAD_PEM = "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"
KEY_PEM = "-----BEGIN PRIVATE KEY-----\neA==\n-----END PRIVATE KEY-----\n"


def quoted(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


LEAF = leaf()
ANSWERS: dict[str, tuple[dict[str, Any], list[str] | None]] = {
    "nothing": ({}, []),
    "issued": (issued(LEAF), []),
    "issued with its chain": (issued(LEAF + leaf(OTHER)), []),
    "denied": ({"conditions": said("Denied")}, []),
    "denied and issued": (
        {"conditions": said("Denied", "Issued")},
        [
            'status.conditions.[1].type: Invalid value: "Issued": There may be at most one condition with type "Issued", "Denied", or "Failed"'
        ],
    ),
    "not quite denied": (
        {"conditions": said("Denied", status="False")},
        ['status.conditions.[0].status: Unsupported value: "False": supported values: "True"'],
    ),
    "something else": (
        {"conditions": said("Later")},
        [
            'status.conditions.[0].type: Unsupported value: "Later": supported values: "Issued", "Denied", "Failed"'
        ],
    ),
    "denied with a certificate": (
        {"conditions": said("Failed"), "certificateChain": LEAF},
        [
            "status: Invalid value: non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        ],
    ),
    "a certificate without a word": (
        {"certificateChain": LEAF},
        [
            'status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
        ],
    ),
    "no certificate": (
        issued(""),
        [f'{CHAIN}: Invalid value: "": issued certificate chain must contain at least one certificate'],
    ),
    "a key": (
        issued(KEY_PEM),
        [
            f"{CHAIN}: Invalid value: {quoted(KEY_PEM)}: issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
        ],
    ),
    "what is no certificate": (
        issued(BAD_PEM),
        [f"{CHAIN}: Invalid value: {quoted(BAD_PEM)}: leaf certificate does not parse as valid X.509"],
    ),
    "a chain with a hole": (
        issued(LEAF + BAD_PEM),
        [
            f"{CHAIN}: Invalid value: {quoted(LEAF + BAD_PEM)}: intermediate certificate does not parse as valid X.509"
        ],
    ),
    "another's certificate": (
        issued(leaf(OTHER)),
        None,
    ),
    "times that nobody told": (
        issued(LEAF, notBefore=None, notAfter=None, beginRefreshAt=None),
        [
            "status.notBefore: Required value: must be present and consistent with the issued certificate",
            "status.notAfter: Required value: must be present and consistent with the issued certificate",
            "status.beginRefreshAt: Required value: must be present and in the range [notbefore+10min, notafter-10min]",
        ],
    ),
    "another beginning": (
        issued(LEAF, notBefore="2026-01-01T00:00:01Z"),
        [
            'status.notBefore: Invalid value: "2026-01-01T00:00:01Z": must be set to the NotBefore time encoded in the leaf certificate'
        ],
    ),
    "a short life": (
        issued(leaf(hours=0.5), hours=0.5),
        [f"{CHAIN}: Invalid value: 1800000000000: leaf certificate lifetime must be >= 1 hour"],
    ),
    "a long life": (
        issued(leaf(hours=25), hours=25),
        [
            f"{CHAIN}: Invalid value: 90000000000000: leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"
        ],
    ),
    "refreshed at once": (
        issued(LEAF, beginRefreshAt="2026-01-01T00:09:00Z"),
        [
            'status.beginRefreshAt: Invalid value: "2026-01-01T00:09:00Z": must be at least 10 minutes after status.notBefore'
        ],
    ),
    "refreshed too late": (
        issued(LEAF, beginRefreshAt="2026-01-01T23:59:00Z"),
        [
            'status.beginRefreshAt: Invalid value: "2026-01-01T23:59:00Z": must be at least 10 minutes before status.notAfter'
        ],
    ),
    "odd names": (
        issued(leaf(names=("a..b", ".c"), emails=("x",)), beginRefreshAt="2026-01-01T00:20:00Z"),
        [
            f"{CHAIN}: Invalid value: \"a..b\": leaf certificate's DNSName should not contain '..'",
            f"{CHAIN}: Invalid value: \".c\": leaf certificate's DNSName should not start or end with '.'",
            f'{CHAIN}: Invalid value: "x": leaf certificate should not contain invalid EmailAddress',
        ],
    ),
}


@pytest.mark.parametrize(("status", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answers(status: dict[str, Any], expected: list[str] | None) -> None:
    old = request()
    found = [str(fault) for fault in REQUEST.validate_status_update({**old, "status": status}, old)]
    if expected is None:
        assert len(found) == 1
        assert found[0].endswith("leaf certificate was not issued to the requested public key")
    else:
        assert found == expected


def test_a_request_is_answered_once() -> None:
    old = {**request(), "status": issued(LEAF)}
    assert REQUEST.validate_status_update(old, old) == []
    new = {**old, "status": {"conditions": said("Denied")}}
    assert [str(fault) for fault in REQUEST.validate_status_update(new, old)] == [
        "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
    ]


P = "v[0].projected.sources[0].podCertificate"
VOLUMES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a bundle": ({"signerName": "a.b/c", "keyType": "ED25519", "credentialBundlePath": "b"}, []),
    "nothing": (
        {},
        [
            f"{P}.signerName: Required value",
            f'{P}.keyType: Unsupported value: "": supported values: "RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"',
            f"{P}: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
        ],
    ),
    "one file for two": (
        {"signerName": "a.b/c", "keyType": "RSA3072", "keyPath": "k", "certificateChainPath": "k"},
        ['v[0].projected: Invalid value: "k": conflicting duplicate paths'],
    ),
    "a file elsewhere": (
        {"signerName": "a.b/c", "keyType": "RSA3072", "keyPath": "/k"},
        [f'{P}.keyPath: Invalid value: "/k": must be a relative path'],
    ),
    "a short life": (
        {"signerName": "a.b/c", "keyType": "RSA3072", "keyPath": "k", "maxExpirationSeconds": 60},
        [f"{P}.maxExpirationSeconds: Invalid value: 60: if provided, maxExpirationSeconds must be >= 3600"],
    ),
}


@pytest.mark.parametrize(("source", "expected"), VOLUMES.values(), ids=VOLUMES)
def test_volumes(source: dict[str, Any], expected: list[str]) -> None:
    volume = {"name": "v", "projected": {"defaultMode": 420, "sources": [{"podCertificate": source}]}}
    faults, _ = validate_volumes({"volumes": [volume]}, "v")
    assert [str(fault) for fault in faults] == expected
