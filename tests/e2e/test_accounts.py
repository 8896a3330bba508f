"""What pods are given of their service account, and that it opens to them what it should."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX
from manifests import pod
from sample_image import VISITOR, sample_image

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
AUDIENCE = "oidc-discovery-test"


def _reads(name: str, path: str) -> Object:
    return {"name": name, "image": BUSYBOX, "command": ["cat", path]}


def test_every_container_is_given_its_account(cluster: RunningCluster) -> None:
    """Token, authority and namespace lie in each; the token is the account's."""
    cluster.kubectl("create", "serviceaccount", "mine")
    readers = [_reads(name, f"{MOUNT}/{name}") for name in ("token", "ca.crt", "namespace")]
    for one in readers:
        one["name"] = one["name"].replace(".", "-")
    cluster.apply(pod("p", *readers, serviceAccountName="mine", restartPolicy="Never"))
    cluster.wait("pod/p", "jsonpath={.status.phase}=Succeeded")
    said = {one["name"]: cluster.kubectl("logs", "p", "-c", one["name"]) for one in readers}
    assert said["namespace"] == cluster.namespace
    assert said["ca-crt"].strip() == cluster.path("configmap/kube-root-ca.crt", ".data.ca\\.crt").strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": said["token"]},
    }  # fmt: skip
    answer = json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{cluster.namespace}:mine"
    cluster.kubectl("delete", "pod", "p")
    gone = json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))
    assert not gone["status"].get("authenticated"), "the pod has gone, and its token with it"


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [(None, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
def test_who_wants_none_has_none(
    cluster: RunningCluster, of_account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    if of_account is not None:
        account["automountServiceAccountToken"] = of_account
    cluster.apply(account)
    asked = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    looks = {"name": "main", "image": BUSYBOX, "command": ["ls", MOUNT]}
    cluster.apply(pod("p", looks, serviceAccountName="a", restartPolicy="Never", **asked))
    cluster.wait("pod/p", f"jsonpath={{.status.phase}}={'Succeeded' if mounted else 'Failed'}")
    assert ("token" in cluster.kubectl("logs", "p").split()) is mounted


def test_a_pod_checks_its_own_token(session_cluster: RunningCluster, cluster: RunningCluster) -> None:
    """It reaches the API by the cluster's address, and finds the issuer's keys as others would."""
    archive = session_cluster.home / "visitor.tar"
    archive.write_bytes(sample_image(VISITOR))
    cluster.tiphys("images", "import", str(archive))
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 7200, "audience": AUDIENCE}}
    volume = {"name": "for-others", "projected": {"sources": [source]}}
    asks = {
        "name": "main", "image": VISITOR, "args": ["--token", "/for-others/token"],
        "volumeMounts": [{"name": "for-others", "mountPath": "/for-others"}],
    }  # fmt: skip
    cluster.apply(pod("asks", asks, volumes=[volume], restartPolicy="Never"))
    eventually(lambda: cluster.path("pod/asks", ".status.phase") in ("Succeeded", "Failed"))
    said = cluster.kubectl("logs", "asks")
    assert said.startswith("{"), said
    account = f"system:serviceaccount:{cluster.namespace}:default"
    assert json.loads(said) == {
        "user": account, "subject": account, "audiences": [AUDIENCE], "pod": "asks",
        "namespace": cluster.namespace,
    }  # fmt: skip
