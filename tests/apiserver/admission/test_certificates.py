"""Certificate signing requests and default ingress classes."""

from __future__ import annotations

from typing import Any

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NETWORKING = "/apis/networking.k8s.io/v1"


async def test_the_server_says_who_asked(api: Any, make_csr: Any) -> None:
    made = await api.create(CSRS, make_csr(username="forged", groups=["forged"]))
    assert (made["spec"]["username"], made["spec"]["uid"]) == ("admin", "1")
    assert made["spec"]["groups"] == ["system:masters", "system:authenticated"]


async def test_masters_are_refused(api: Any, make_csr: Any) -> None:
    answer = await api("POST", CSRS, make_csr("system:masters"))
    assert answer.status == 403
    assert "signer with system:masters group is not allowed" in answer.message


async def test_approval_needs_a_right_on_the_signer(api: Any, make_csr: Any) -> None:
    made = await api.create(CSRS, make_csr())
    made["status"] = {"conditions": [{"type": "Approved", "reason": "Yes", "status": "True"}]}
    approval = ["certificatesigningrequests/approval"]
    rules = [{"apiGroups": ["certificates.k8s.io"], "resources": approval, "verbs": ["update"]}]
    base = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(base + "/clusterroles", {"metadata": {"name": "x"}, "rules": rules})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]
    await api.create(
        base + "/clusterrolebindings", {"metadata": {"name": "x"}, "roleRef": ref, "subjects": subjects}
    )
    await api.settle()
    answer = await api("PUT", CSRS + "/r/approval", made, user="alice")
    assert answer.status == 403
    assert 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"' in (
        answer.message
    )
    approved = await api.put(CSRS + "/r/approval", made)
    assert approved["status"]["conditions"][0]["type"] == "Approved"


async def test_default_ingress_class(api: Any) -> None:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    await api.create(
        NETWORKING + "/ingressclasses",
        {"metadata": {"name": "k", "annotations": annotations}, "spec": {"controller": "x.io/y"}},
    )
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    made = await api.create(
        NETWORKING + "/namespaces/default/ingresses",
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}},
    )
    assert made["spec"]["ingressClassName"] == "k"


async def test_namespaces_carry_their_name(api: Any) -> None:
    made = await api.create("/api/v1/namespaces", {"metadata": {"name": "x"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert (made["spec"]["finalizers"], made["status"]["phase"]) == (["kubernetes"], "Active")


async def test_a_status_says_since_when_and_leaves_decisions(api: Any, make_csr: Any) -> None:
    made = await api.create(CSRS, make_csr())
    made["status"] = {"conditions": [{"type": "Approved", "reason": "Yes", "status": "True"}]}
    await api.put(CSRS + "/r/approval", made)
    api.clock.advance(60)
    changed = [{"type": "Approved", "reason": "No", "status": "True"}, {"type": "Seen", "status": "True"}]
    answer = await api.patch(CSRS + "/r/status", {"status": {"conditions": changed}})
    assert answer.status == 200, answer.message
    approved, seen = answer.json["status"]["conditions"]
    assert (approved["reason"], approved["lastTransitionTime"]) == ("Yes", "2026-01-01T00:00:00Z")
    assert seen["lastUpdateTime"] == seen["lastTransitionTime"] == "2026-01-01T00:01:00Z"
