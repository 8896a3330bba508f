"""What may not be in CertificateSigningRequests and ClusterTrustBundles, and who may write what of a request."""

# ruff: noqa: E501

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tiphys.apimachinery.meta import GVK
from tiphys.apis.certificates.validation import validate_request_approval, validate_request_status
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]

NAME = x509.Name([])
USAGES = (
    '"any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", '
    '"digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", '
    '"key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping"'
)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def signed() -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(key(), hashes.SHA256())


def pem(data: bytes, kind: str) -> str:
    text = base64.encodebytes(data).decode()
    return f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n"


@cache
def request_pem(*, forged: bool = False) -> str:
    data = bytearray(signed().public_bytes(serialization.Encoding.DER))
    if forged:
        data[-1] ^= 1
    return base64.b64encode(pem(bytes(data), "CERTIFICATE REQUEST").encode()).decode()


@cache
def anchor(*, ca: bool = True, issued: int = 1) -> str:
    start = datetime(2026, 1, issued, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key().public_key())
    builder = builder.serial_number(7).not_valid_before(start).not_valid_after(start + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def request(*, conditions: list[Body] | None = None, certificate: str = "", **spec: Any) -> Body:
    status: Body = {"conditions": conditions} if conditions else {}
    if certificate:
        status["certificate"] = base64.b64encode(certificate.encode()).decode()
    inner = {"request": request_pem(), "usages": ["client auth"], "signerName": "a.b/c", **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "x"},
        "spec": inner,
        "status": status,
    }


def bundle(text: str, *, name: str = "x", **spec: Any) -> Body:
    return {
        "apiVersion": "certificates.k8s.io/v1beta1",
        "kind": "ClusterTrustBundle",
        "metadata": {"name": name},
        "spec": {"trustBundle": text, **spec},
    }


def omitted(text: str) -> str:
    return f'spec.trustBundle: Invalid value: "<value omitted>": {text}'


TYPE = "PEM block type must be CERTIFICATE REQUEST"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


NEW: dict[str, tuple[Callable[[], Body], list[str]]] = {
    "fine": (request, []),
    "no request": (lambda: request(request=None), [f"spec.request: Invalid value: null: {TYPE}"]),
    "an empty request": (lambda: request(request=""), [f'spec.request: Invalid value: "": {TYPE}']),
    "nonsense": (lambda: request(request="eA=="), [f'spec.request: Invalid value: "eA==": {TYPE}']),
    "another block": (
        lambda: request(request=encoded(pem(b"x", "CERTIFICATE"))),
        [f'spec.request: Invalid value: "{encoded(pem(b"x", "CERTIFICATE"))}": {TYPE}'],
    ),
    "truncated": (
        lambda: request(request=encoded(pem(b"x", "CERTIFICATE REQUEST"))),
        [
            f'spec.request: Invalid value: "{encoded(pem(b"x", "CERTIFICATE REQUEST"))}": asn1: syntax error: data truncated'
        ],
    ),
    "all at once": (
        lambda: request(usages=[], signerName="", expirationSeconds=60),
        [
            "spec.usages: Required value",
            "spec.signerName: Required value",
            "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
        ],
    ),
    "usages": (
        lambda: request(usages=["x", "any", "any"]),
        [
            f'spec.usages[0]: Unsupported value: "x": supported values: {USAGES}',
            'spec.usages[2]: Duplicate value: "any"',
        ],
    ),
    "old signer": (
        lambda: request(signerName="kubernetes.io/legacy-unknown"),
        [
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version'
        ],
    ),
    "signer": (
        lambda: request(signerName="x"),
        [
            "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'"
        ],
    ),
    "signer's domain": (
        lambda: request(signerName="A/b"),
        [
            f'spec.signerName: Invalid value: "A": validating label "A": {LABEL}',
            'spec.signerName: Invalid value: "A": should be a domain with at least two segments separated by dots',
        ],
    ),
    "bundle": (lambda: bundle(anchor()), []),
    "bundle with blanks within": (
        lambda: bundle("\n" + anchor().replace("\n", " \t\r\n\t\n")),
        [],
    ),
    "bundle with headers": (
        lambda: bundle(anchor().replace("-----\nM", "-----\nkey: value\n\nM")),
        [omitted("entry 0 has PEM block headers")],
    ),
    "bundle of one block that is whole": (
        lambda: bundle("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + anchor()),
        [],
    ),
    "bundle of one block that is no ASCII": (
        lambda: bundle("-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----\n" + anchor()),
        [],
    ),
    "bundle of blocks that do not end": (
        lambda: bundle(anchor().replace("END CERTIFICATE", "END OF IT") + "-----BEGIN CERTIFICATE-----\nx"),
        [omitted("at least one trust anchor must be provided")],
    ),
    "empty bundle": (lambda: bundle("x"), [omitted("at least one trust anchor must be provided")]),
    "bundle of other things": (
        lambda: bundle(pem(b"x", "KEY") + pem(b"x", "CERTIFICATE") + anchor(ca=False)),
        [
            omitted("entry 0 has bad block type: KEY"),
            omitted("entry 1 does not parse as X.509"),
            omitted("entry 2 does not have the CA bit set"),
        ],
    ),
    "anchor twice": (
        lambda: bundle(anchor() + anchor(issued=2) + anchor()),
        [omitted("duplicate trust anchor (indices [0 2])")],
    ),
    "bundle's name": (
        lambda: bundle(anchor(), name="a:b"),
        [
            'metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name'
        ],
    ),
    "bundle of a signer": (
        lambda: bundle(anchor(), signerName="a.b/c"),
        [
            'metadata.name: Invalid value: "x": ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:'
        ],
    ),
}


@pytest.mark.parametrize(("make", "expected"), NEW.values(), ids=NEW)
def test_new(
    make: Callable[[], Body], expected: list[str], faults_of_new: Callable[[Body], list[str]]
) -> None:
    assert faults_of_new(make()) == expected


def test_requests_are_signed_by_their_own_key(faults_of_new: Callable[[Body], list[str]]) -> None:
    (found,) = faults_of_new(request(request=request_pem(forged=True)))
    assert found.endswith(": x509: ECDSA verification failure")


def said(kind: str, status: str = "True", **rest: str) -> Body:
    return {"type": kind, "status": status, **rest}


YES, NO = said("Approved"), said("Denied")
P = "status.conditions"


def texts(found: list[Any]) -> list[str]:
    return [str(fault) for fault in found]


DECIDED: dict[str, tuple[list[Body], list[Body], list[str]]] = {
    "approved": ([], [YES], []),
    "both": (
        [YES],
        [YES, NO],
        [f'{P}: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'],
    ),
    "taken back": ([YES], [], [f'{P}: Forbidden: updates may not remove a condition of type "Approved"']),
    "not quite": (
        [],
        [said("Approved", "False")],
        [f'{P}[0].status: Unsupported value: "False": supported values: "True"'],
    ),
    "nothing": ([], [{}], [f"{P}[0].type: Required value", f"{P}[0].status: Required value"]),
    "twice": ([], [YES, YES], [f'{P}[1].type: Duplicate value: "Approved"']),
}


@pytest.mark.parametrize(("old", "new", "expected"), DECIDED.values(), ids=DECIDED)
def test_approval(old: list[Body], new: list[Body], expected: list[str]) -> None:
    found = validate_request_approval(request(conditions=new), request(conditions=old))
    assert texts(found) == expected


ISSUED: dict[str, tuple[Callable[[], Body], Callable[[], Body], list[str]]] = {
    "issued": (request, lambda: request(certificate=anchor()), []),
    "approved by the signer": (
        request,
        lambda: request(conditions=[YES]),
        [f'{P}: Forbidden: updates may not add a condition of type "Approved"'],
    ),
    "approval rewritten": (
        lambda: request(conditions=[YES]),
        lambda: request(conditions=[said("Approved", reason="x")]),
        [
            f'{P}: Forbidden: updates may not modify a condition of type "Approved"\n@@ -2,7 +2,7 @@\n  {{\n   "Type": "Approved",\n'
            '   "Status": "True",\n-  "Reason": "",\n+  "Reason": "x",\n   "Message": "",\n   "LastUpdateTime": null,\n'
            '   "LastTransitionTime": null\n'
        ],
    ),
    "issued again": (
        lambda: request(certificate=anchor()),
        lambda: request(certificate=anchor(issued=2)),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"],
    ),
    "a key": (
        request,
        lambda: request(certificate=pem(b"x", "KEY")),
        [
            'status.certificate: Invalid value: "<certificate data>": only CERTIFICATE PEM blocks are allowed, found "KEY"'
        ],
    ),
    "nothing": (
        request,
        lambda: request(certificate="x"),
        [
            'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block'
        ],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), ISSUED.values(), ids=ISSUED)
def test_status(old: Callable[[], Body], new: Callable[[], Body], expected: list[str]) -> None:
    assert texts(validate_request_status(new(), old())) == expected


def test_approval_issues_nothing() -> None:
    assert texts(validate_request_approval(request(certificate=anchor()), request())) == [
        "status.certificate: Forbidden: updates may not set certificate content"
    ]


def test_names_of_bundles_to_be_made() -> None:
    text = anchor()
    strategy = strategy_for(GVK("certificates.k8s.io", "v1beta1", "ClusterTrustBundle"))
    of_signer = {
        "metadata": {"generateName": "a.b:c:d-"},
        "spec": {"signerName": "a.b/c", "trustBundle": text},
    }
    assert strategy.validate(of_signer) == []
    of_nobody = {"metadata": {"generateName": "a:b-"}, "spec": {"trustBundle": text}}
    assert [str(fault) for fault in strategy.validate(of_nobody)] == [
        'metadata.generateName: Invalid value: "a:b-": ClusterTrustBundle without signer name must not have ":" in its name'
    ]


def test_bundles_change(faults_of_change: Callable[[Body, Body], list[str]]) -> None:
    old = bundle("nonsense from before", name="a.b:c:d", signerName="a.b/c")
    assert faults_of_change(old, old) == []
    moved = bundle("nonsense from before", name="a.b:c:d", signerName="a.b/d")
    assert faults_of_change(old, moved)[-1] == 'spec.signerName: Invalid value: "a.b/d": field is immutable'
