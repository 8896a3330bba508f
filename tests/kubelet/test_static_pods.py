"""Manifests of the node's own pods."""

import pytest

from tiphys.kubelet.static_pods import HASH, MIRROR, SOURCE, owned, static_pod

MANIFEST = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": []}}


def test_mirror():
    made = static_pod(MANIFEST, "n1")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("etcd-n1", "default")
    assert made["spec"]["nodeName"] == "n1"
    notes = made["metadata"]["annotations"]
    assert notes[SOURCE] == "file"
    assert notes[HASH] == notes[MIRROR]
    assert MANIFEST["metadata"] == {"name": "etcd"}
    assert (
        static_pod({**MANIFEST, "spec": {"containers": [{}]}}, "n1")["metadata"]["annotations"][HASH]
        != notes[HASH]
    )


@pytest.mark.parametrize(
    "manifest", [{}, {"kind": "Service", "spec": {"a": 1}}, {"kind": "Pod", "spec": {"a": 1}}, []]
)
def test_refused(manifest):
    with pytest.raises(ValueError, match=r"not a Pod|no name"):
        static_pod(manifest, "n1")


def test_a_mirror_is_its_nodes():
    pod = static_pod(MANIFEST, "n1")
    found = owned(pod, {"metadata": {"name": "n1", "uid": "u"}})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    assert found["metadata"]["ownerReferences"] == [owner]
    assert "ownerReferences" not in pod["metadata"]
