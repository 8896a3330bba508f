"""What a kubelet may ask for in the name of its pods, and which pods it may make itself."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.admission.node_identity import api_reference

pytestmark = pytest.mark.every_version

BASE = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PCRS = "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests"
NODE = "system:node:n1"


def projected(audience: str | None = None) -> dict[str, Any]:
    source = {"path": "t", **({} if audience is None else {"audience": audience})}
    return {"name": "v", "projected": {"sources": [{"serviceAccountToken": source}]}}


def claim(volume: str = "") -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": resources,
        "storageClassName": "",
        "volumeName": volume,
    }
    return {"metadata": {"name": "claim"}, "spec": spec}


PV = {
    "metadata": {"name": "pv"},
    "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    },
}  # fmt: skip
DRIVER = {"metadata": {"name": "d.example.com"}, "spec": {"tokenRequests": [{"audience": "driver"}]}}
INLINE = {"name": "c", "csi": {"driver": "d.example.com"}}
CLAIMED = {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}}
MISSING = "not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"

AUDIENCES: dict[str, tuple[list[dict[str, Any]], list[str], list[tuple[str, dict[str, Any]]], str]] = {
    # the pod's volumes, the audiences asked for, what there is besides, what is said against it
    "of a projected volume": ([projected("vault")], ["vault"], [], ""),
    "the server's own": ([projected()], [], [], ""),
    "another": ([projected("vault")], ["other"], [], f'audience "other" {MISSING}'),
    "none in the pod": ([], [], [], f'audience "" {MISSING}'),
    "two": ([projected("vault")], ["vault", "x"], [], "node may only request 0 or 1 audiences"),
    "of an inline driver": ([INLINE], ["driver"], [("csidrivers", DRIVER)], ""),
    "another of the driver": ([INLINE], ["x"], [("csidrivers", DRIVER)], f'audience "x" {MISSING}'),
    "of a driver that is not there": (
        [INLINE], ["driver"], [], 'error validating audience "driver": csidriver.storage.k8s.io "d.example.com" not found',
    ),
    "of a claim's driver": (
        [CLAIMED], ["driver"], [("csidrivers", DRIVER), ("persistentvolumes", PV), ("persistentvolumeclaims", claim("pv"))], "",
    ),
    "of a claim that is not bound": (
        [CLAIMED], ["driver"], [("persistentvolumeclaims", claim())], f'audience "driver" {MISSING}',
    ),
    "of a claim that is not there": (
        [CLAIMED], ["driver"], [], 'error validating audience "driver": persistentvolumeclaim "claim" not found',
    ),
    "of a volume that is not there": (
        [CLAIMED], ["driver"], [("persistentvolumeclaims", claim("gone"))],
        'error validating audience "driver": persistentvolume "gone" not found',
    ),
    "of a volume that a driver took over": (
        [{"name": "a", "azureFile": {"secretName": "s", "shareName": "x"}}], ["driver"],
        [("csidrivers", {**DRIVER, "metadata": {"name": "file.csi.azure.com"}})], "",
    ),
}  # fmt: skip
PATHS = {
    "csidrivers": "/apis/storage.k8s.io/v1/csidrivers",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "persistentvolumeclaims": f"{BASE}/persistentvolumeclaims",
}


async def make_pod(api: Any, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {"nodeName": "n1", "automountServiceAccountToken": False, "volumes": volumes}
    containers = [{"name": "c", "image": "a:1"}]
    made = await api.create(
        f"{BASE}/pods", {"metadata": {"name": "p"}, "spec": {**spec, "containers": containers}}
    )
    await api.settle()
    return dict(made)


def token_request(pod: dict[str, Any], audiences: list[str]) -> dict[str, Any]:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    return {"spec": {"audiences": audiences, "boundObjectRef": bound}}


@pytest.mark.parametrize(("volumes", "audiences", "there", "why"), AUDIENCES.values(), ids=AUDIENCES)
async def test_audiences(
    api: Any,
    volumes: list[dict[str, Any]],
    audiences: list[str],
    there: list[tuple[str, dict[str, Any]]],
    why: str,
) -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    for plural, obj in there:
        await api.create(PATHS[plural], obj)
    pod = await make_pod(api, volumes)
    body = token_request(pod, audiences)
    answer = await api("POST", f"{BASE}/serviceaccounts/default/token", body, user="node")
    if why:
        assert answer.message == f'serviceaccounts "default" is forbidden: {why}'
    else:
        assert answer.status == 201, answer.raw
        assert answer.json["spec"]["audiences"] == (
            audiences or ["https://kubernetes.default.svc.cluster.local"]
        )


async def test_an_audience_by_a_right_of_the_nodes_own(api: Any) -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    rule = {
        "apiGroups": [""],
        "resources": ["registry"],
        "verbs": ["request-serviceaccounts-token-audience"],
        "resourceNames": ["default"],
    }
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "x"}, "rules": [rule]})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NODE}
    await api.create(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": "x"}, "roleRef": ref, "subjects": [subject]}
    )
    body = token_request(await make_pod(api, []), ["registry"])
    assert (await api("POST", f"{BASE}/serviceaccounts/default/token", body, user="node")).status == 201


REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    # what differs from a good request
    "of another node": ({"nodeName": "n2"}, 403, 'PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1"'),
    "an older node": ({"nodeUID": "u"}, 500, 'PodCertificateRequest for pod "default/p" names node UID "u", inconsistent with the running node ("{node}")'),
    "no pod": ({"podName": "q"}, 500, 'while retrieving pod "default/q" named in the PodCertificateRequest: pod "q" not found'),
    "an older pod": ({"podUID": "u"}, 500, 'PodCertificateRequest for pod "default/p" contains pod UID ("u") which differs from running pod "{pod}"'),
    "another account": (
        {"serviceAccountName": "x"}, 403, 'PodCertificateRequest for pod "default/p" contains serviceAccountName ("x") that differs from running pod ("default")',
    ),
    "an older account": (
        {"serviceAccountUID": "u"}, 500,
        'PodCertificateRequest for pod "default/p" names service account UID "u", which differs from the running service account ("{account}")',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("differs", "status", "why"), REQUESTS.values(), ids=REQUESTS)
async def test_certificates_of_pods(api: Any, differs: dict[str, Any], status: int, why: str) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    pod = await make_pod(api, [])
    account = await api.get(f"{BASE}/serviceaccounts/default")
    uids = {
        "node": node["metadata"]["uid"],
        "pod": pod["metadata"]["uid"],
        "account": account["metadata"]["uid"],
    }
    spec = {
        "signerName": "example.com/s", "podName": "p", "podUID": uids["pod"], "serviceAccountName": "default",
        "serviceAccountUID": uids["account"], "nodeName": "n1", "nodeUID": uids["node"],
    }  # fmt: skip
    # Admission is asked before validation: what a good one lacks is only told of one that is this node's.
    good = await api("POST", PCRS, {"metadata": {"name": "r"}, "spec": spec}, user="node")
    assert good.status == 422, good.raw
    answer = await api("POST", PCRS, {"metadata": {"name": "r"}, "spec": {**spec, **differs}}, user="node")
    assert answer.status == status, answer.raw
    assert answer.message.endswith(why.format(**uids)), answer.message


async def test_a_mirror_pod_has_no_certificate(api: Any) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "a:1"}]}
    meta = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}
    pod = await api.create(f"{BASE}/pods", {"metadata": meta, "spec": spec})
    asked = {
        "signerName": "example.com/s", "podName": "p", "podUID": pod["metadata"]["uid"], "nodeName": "n1",
        "nodeUID": node["metadata"]["uid"],
    }  # fmt: skip
    answer = await api("POST", PCRS, {"metadata": {"name": "r"}, "spec": asked}, user="node")
    assert answer.message.endswith('pod "default/p" is a mirror pod')


def volume(**source: Any) -> dict[str, Any]:
    return {"spec": {"volumes": [{"name": "v", **source}]}}


REFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (volume(emptyDir={}), ""),
    "a driver": (volume(csi={"driver": "d"}), "csidrivers (via CSI volumes)"),
    "a claim": (volume(persistentVolumeClaim={"claimName": "c"}), "persistentvolumeclaims"),
    "a claim of its own": (volume(ephemeral={}), "persistentvolumeclaims (via ephemeral volumes)"),
    "a token": (
        volume(projected={"sources": [{"serviceAccountToken": {}}]}),
        "serviceaccounts (via projected volumes)",
    ),
    "roots": (volume(projected={"sources": [{"clusterTrustBundle": {}}]}), "clustertrustbundles"),
    "a certificate": (volume(projected={"sources": [{"podCertificate": {}}]}), "podcertificates"),
}


@pytest.mark.parametrize(("pod", "what"), REFERENCES.values(), ids=REFERENCES)
def test_what_pods_refer_to(pod: dict[str, Any], what: str) -> None:
    assert api_reference(pod) == what
