import pytest

from tiphys.controllers.storageprotection.plan import claims_of, planned_finalizers

KEEP = "kubernetes.io/pvc-protection"


@pytest.mark.parametrize(
    ("case", "finalizers", "deleting", "used", "expected"),
    [
        ("new", ["a"], False, False, ["a", KEEP]),
        ("kept", [KEEP], False, True, None),
        ("going, in use", [KEEP], True, True, None),
        ("going, free", ["a", KEEP], True, False, ["a"]),
        ("going, let go already", ["a"], True, False, None),
    ],
)
def test_planned_finalizers(case, finalizers, deleting, used, expected):
    meta = {"finalizers": finalizers}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert planned_finalizers({"metadata": meta}, KEEP, used=used) == expected, case


def test_claims_of_a_pod_with_a_node():
    volumes = [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "volumes": volumes}}
    assert claims_of(pod) == ["c", "p-e"]
    assert claims_of({**pod, "spec": {"volumes": volumes}}) == []
