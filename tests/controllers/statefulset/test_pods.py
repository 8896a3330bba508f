import pytest

from tiphys.controllers.statefulset.pods import claim_keys, claim_owners


def owner(deleted="Retain", scaled="Retain", replicas=1):
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "x", "namespace": "d", "uid": "set"},
        "spec": {
            "replicas": replicas,
            "persistentVolumeClaimRetentionPolicy": policy,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        },
    }


def pod(ordinal):
    return {"metadata": {"name": f"x-{ordinal}", "namespace": "d", "uid": f"pod-{ordinal}"}}


@pytest.mark.parametrize(
    ("case", "whose", "ordinal", "present", "expected"),
    [
        ("kept", owner(), 0, [], None),
        ("kept by now", owner(), 0, ["set"], []),
        ("goes with the set", owner("Delete"), 0, [], ["set"]),
        ("is to go already", owner("Delete"), 0, ["set"], None),
        ("scaled away, kept", owner(), 5, [], None),
        ("scaled away", owner(scaled="Delete"), 5, [], ["pod-5"]),
        ("scaled away, no longer the set's", owner("Delete", "Delete"), 5, ["set"], ["pod-5"]),
        ("back again", owner(scaled="Delete", replicas=9), 5, ["pod-5"], []),
        ("of somebody else, too", owner("Delete"), 0, ["other"], ["other", "set"]),
    ],
)
def test_claim_owners(case, whose, ordinal, present, expected):
    claim = {"metadata": {"name": "c", "ownerReferences": [{"uid": uid} for uid in present]}}
    found = claim_owners(whose, claim, pod(ordinal))
    assert (found and [item["uid"] for item in found]) == (expected or found), case
    assert (found is None) == (expected is None), case


def test_claim_keys():
    assert claim_keys(owner(), pod(3)) == ["d/data-x-3"]
