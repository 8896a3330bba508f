"""Answers to PodCertificateRequests: who may give them, and when by the server's clock."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tiphys.apimachinery.featuregates import resolve

pytestmark = pytest.mark.every_version

REQUESTS = "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.derive_private_key(7, ec.SECP256R1())
NOBODY = x509.Name([])
SINCE = "2026-01-01T00:04:59Z"
INVALID = 'PodCertificateRequest.certificates.k8s.io "r" is invalid: '


def request() -> dict[str, Any]:
    builder = x509.CertificateSigningRequestBuilder().subject_name(NOBODY)
    stub = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    who = {"podName": "p", "podUID": "pu", "serviceAccountName": "s", "serviceAccountUID": "su"}
    spec = {"signerName": "a.example/web", "nodeName": "n", "nodeUID": "nu", **who}
    spec |= {"maxExpirationSeconds": 86400, "stubPKCS10Request": base64.b64encode(stub).decode()}
    return {"metadata": {"name": "r"}, "spec": spec}


def said(kind: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": SINCE}]


def issued() -> dict[str, Any]:
    builder = x509.CertificateBuilder().subject_name(NOBODY).issuer_name(NOBODY).serial_number(1)
    builder = builder.public_key(KEY.public_key()).not_valid_before(BEGIN)
    leaf = builder.not_valid_after(BEGIN + timedelta(hours=24)).sign(KEY, hashes.SHA256())
    return {
        "conditions": said("Issued"),
        "certificateChain": leaf.public_bytes(serialization.Encoding.PEM).decode(),
        "notBefore": "2026-01-01T00:00:00Z",
        "notAfter": "2026-01-02T00:00:00Z",
        "beginRefreshAt": "2026-01-01T12:00:00Z",
    }


async def answer(api: Any, status: dict[str, Any], **rest: Any) -> Any:
    return await api.patch(f"{REQUESTS}/r/status", {"status": status}, **rest)


async def test_an_answer_in_time(api: Any) -> None:
    await api.create(REQUESTS, request())
    api.clock.advance(299)
    answered = await answer(api, issued())
    assert answered.status == 200, answered.message
    assert answered.json["status"]["conditions"] == said("Issued")


async def test_signers_say_since_when_a_condition_holds(api: Any) -> None:
    await api.create(REQUESTS, request())
    timeless = {key: value for key, value in said("Denied")[0].items() if key != "lastTransitionTime"}
    refused = await answer(api, {"conditions": [timeless]})
    assert (refused.status, refused.message) == (
        422,
        f"{INVALID}status.conditions[0].lastTransitionTime: Required value: must be set",
    )


async def test_an_answer_stays_in_its_words(api: Any) -> None:
    await api.create(REQUESTS, request())
    await answer(api, {"conditions": said("Denied")})
    changed = await answer(api, {"conditions": [{**said("Denied")[0], "message": "other"}]})
    assert (changed.status, changed.message) == (
        422,
        f"{INVALID}status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed",
    )


async def test_an_answer_too_late(api: Any) -> None:
    await api.create(REQUESTS, request())
    api.clock.advance(300)
    late = await answer(api, issued())
    assert (late.status, late.message) == (
        422,
        f'{INVALID}status.notBefore: Invalid value: "2026-01-01T00:00:00Z": must be set to within 5 '
        "minutes of kube-apiserver's current time",
    )


async def allow(api: Any, name: str, resource: str, verb: str) -> None:
    rules = [{"apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": [verb]}]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": "alice"}]
    binding = {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects}
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    await api.settle()


ANSWERS = {
    "issued": issued,
    "denied": lambda: {"conditions": said("Denied")},
    "failed": lambda: {"conditions": said("Failed")},
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_who_answers(api: Any, case: str) -> None:
    await api.create(REQUESTS, request())
    await allow(api, "status", "podcertificaterequests/status", "patch")
    refused = await answer(api, ANSWERS[case](), user="alice")
    assert (refused.status, refused.message) == (
        422,
        f'{INVALID}spec.signerName: Forbidden: User "alice" is not permitted to "sign" for signer '
        '"a.example/web"',
    )
    await allow(api, "signs", "signers", "sign")
    assert (await answer(api, ANSWERS[case](), user="alice")).status == 200


async def test_saying_nothing_needs_no_right(api: Any) -> None:
    await api.create(REQUESTS, request())
    await allow(api, "status", "podcertificaterequests/status", "patch")
    assert (await answer(api, {}, user="alice")).status == 200


async def test_who_clears_them_away(serving: Any) -> None:
    """The controller has an account and its rights once there is something to clear."""
    name = "system:controller:podcertificaterequestcleaner"
    async with serving(feature_gates=resolve({"PodCertificateRequest": True})) as api:
        rules = (await api.get(f"{RBAC}/clusterroles/{name}"))["rules"]
        assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
            (["certificates.k8s.io"], ["podcertificaterequests"], ["delete", "get", "list", "watch"])
        ]
        (subject,) = (await api.get(f"{RBAC}/clusterrolebindings/{name}"))["subjects"]
        assert (subject["name"], subject["namespace"]) == ("podcertificaterequestcleaner", "kube-system")
