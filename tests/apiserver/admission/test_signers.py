"""Who may act for a signer: trust bundles and certificates."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.pki import make_ca

pytestmark = pytest.mark.every_version

GROUP = "/apis/certificates.k8s.io/v1beta1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SIGNER = "example.com/web"


async def grant(api: Any, *rules: dict[str, Any]) -> None:
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "x"}, "rules": list(rules)})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]
    binding = {"metadata": {"name": "x"}, "roleRef": ref, "subjects": subjects}
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    await api.settle()


def rule(resource: str, *verbs: str, **more: Any) -> dict[str, Any]:
    return {"apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": list(verbs), **more}


def bundle(signer: str = SIGNER) -> dict[str, Any]:
    pem = make_ca("roots", RealClock().now()).certificate.decode()
    name = f"{signer.replace('/', ':')}:one" if signer else "one"
    return {"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}}


WRITES = ("create", "update", "patch")
CASES = {
    "no right": ([], 403),
    "for this signer": ([rule("signers", "attest", resourceNames=[SIGNER])], 201),
    "for all of the domain": ([rule("signers", "attest", resourceNames=["example.com/*"])], 201),
    "for another": ([rule("signers", "attest", resourceNames=["example.com/other"])], 403),
    "another right": ([rule("signers", "sign", resourceNames=[SIGNER])], 403),
}


@pytest.mark.parametrize(("rules", "status"), CASES.values(), ids=CASES)
async def test_attesting(api: Any, rules: list[dict[str, Any]], status: int) -> None:
    await grant(api, rule("clustertrustbundles", *WRITES), *rules)
    answer = await api("POST", f"{GROUP}/clustertrustbundles", bundle(), user="alice")
    assert answer.status == status, answer.raw
    if status == 403:
        assert answer.message == (
            'clustertrustbundles.certificates.k8s.io "example.com:web:one" is forbidden: user not permitted '
            'to attest for signerName "example.com/web"'
        )


async def test_bundles_of_nobody_and_the_collectors_changes_need_no_right(api: Any) -> None:
    await grant(api, rule("clustertrustbundles", *WRITES))
    await api.create(f"{GROUP}/clustertrustbundles", bundle(""), user="alice")
    made = await api.create(f"{GROUP}/clustertrustbundles", bundle())
    path = f"{GROUP}/clustertrustbundles/{made['metadata']['name']}"
    marked = await api.patch(path, {"metadata": {"finalizers": ["example.com/x"]}}, user="alice")
    assert marked.status == 200, marked.raw
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}}, user="alice")
    assert labelled.status == 403


CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


ROOT = make_ca("roots", RealClock().now()).certificate
FAILED = {"type": "Failed", "status": "True", "reason": "No"}
ANSWERS = {
    "a certificate": {"certificate": base64.b64encode(ROOT).decode()},
    "a failure": {"conditions": [FAILED]},
}


@pytest.mark.parametrize("status", ANSWERS.values(), ids=ANSWERS)
async def test_signing(api: Any, make_csr: Any, status: dict[str, Any]) -> None:
    await grant(api, rule("certificatesigningrequests/status", "update"))
    made = await api.create(CSRS, make_csr(signerName=SIGNER))
    answer = await api(
        "PUT", f"{CSRS}/{made['metadata']['name']}/status", {**made, "status": status}, user="alice"
    )
    assert answer.message.endswith('user not permitted to sign requests with signerName "example.com/web"')


async def test_plugins_of_certificates_are_turned_off_one_by_one(serving: Any, make_csr: Any) -> None:
    async with serving(disabled_admission=("CertificateSubjectRestriction",)) as api:
        made = await api.create(CSRS, make_csr("system:masters"))
        assert made["spec"]["username"] == "admin"
        await grant(api, rule("certificatesigningrequests/approval", "update"))
        made["status"] = {"conditions": [{"type": "Approved", "reason": "Yes", "status": "True"}]}
        path = f"{CSRS}/{made['metadata']['name']}/approval"
        assert (await api("PUT", path, made, user="alice")).status == 403
