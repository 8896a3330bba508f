"""Claims of ephemeral volumes."""

from tiphys.controllers.ephemeralvolume.plan import Plan, plan

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def pod(uid="u1", phase="Pending", **meta):
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": SPEC}
    volumes = [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "e", "emptyDir": {}}]
    metadata = {"name": "web", "namespace": "default", "uid": uid, **meta}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"volumes": volumes},
        "status": {"phase": phase},
    }


def test_a_claim_is_made_once():
    (made,) = plan(pod(), {}).make
    assert made["metadata"] == {
        "name": "web-tmp",
        "namespace": "default",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "web",
                "uid": "u1",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert made["spec"] == SPEC
    assert plan(pod(), {"web-tmp": made}) == Plan()


def test_a_claim_of_somebody_else_stands_in_the_way():
    strange = {"metadata": {"name": "web-tmp", "namespace": "default"}}
    text = "ephemeral volume tmp: PVC default/web-tmp was not created for pod default/web (pod is not owner)"
    assert plan(pod(), {"web-tmp": strange}) == Plan(faults=(text,))


def test_a_pod_that_ends_needs_none():
    assert plan(pod(phase="Failed"), {}) == Plan()
    assert plan(pod(deletionTimestamp="2026-01-01T00:00:00Z"), {}) == Plan()
