import pytest

from tiphys.controllers.statefulset.pods import claim_keys, claim_owners, follows_a_former_pod


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


REFERENCES = {
    "set": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "controller": True},
    "former set": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "controller": True},
    "pod-5": {"apiVersion": "v1", "kind": "Pod", "name": "x-5", "controller": True},
    "former pod": {"apiVersion": "v1", "kind": "Pod", "name": "x-5", "controller": True},
    "other": {"apiVersion": "v1", "kind": "Secret", "name": "o"},
    "other controller": {"apiVersion": "x/v1", "kind": "Y", "name": "o", "controller": True},
}


def reference(uid):
    """``set, loosely``: it owns and does not control."""
    known = REFERENCES[uid.removesuffix(", loosely")]
    return {
        **known,
        "uid": uid.removesuffix(", loosely"),
        **({"controller": False} if "loosely" in uid else {}),
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
        ("controlled by somebody else", owner("Delete"), 0, ["other controller"], None),
        ("let go", owner("Delete"), 0, ["other controller", "set"], ["other controller"]),
        ("kept, whoever controls it", owner(), 0, ["other controller", "set"], ["other controller"]),
        ("owned only", owner("Delete"), 0, ["set, loosely"], ["set"]),
        ("of a set that was", owner("Delete"), 0, ["former set"], []),
        ("of a pod that was", owner(scaled="Delete", replicas=9), 5, ["former pod"], []),
    ],
)
def test_claim_owners(case, whose, ordinal, present, expected):
    claim = {"metadata": {"name": "c", "ownerReferences": [reference(uid) for uid in present]}}
    found = claim_owners(whose, claim, pod(ordinal))
    assert (found and [item["uid"] for item in found]) == (expected or found), case
    assert (found is None) == (expected is None), case
    assert all(item["controller"] for item in found or () if item["uid"] in ("set", "pod-5"))


@pytest.mark.parametrize(
    ("whose", "present", "stale"),
    [
        (owner(scaled="Delete"), "former pod", True),
        (owner(scaled="Delete"), "set", False),
        (owner(), "former pod", False),
    ],
)
def test_a_claim_that_goes_with_a_pod_that_was_scaled_away(whose, present, stale):
    claim = {"metadata": {"ownerReferences": [reference(present)]}}
    assert follows_a_former_pod(whose, claim, "x-5") == stale


def test_claim_keys():
    assert claim_keys(owner(), pod(3)) == ["d/data-x-3"]
