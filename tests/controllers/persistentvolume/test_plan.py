import pytest

from tiphys.controllers.persistentvolume.plan import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONER,
    SELECTED_NODE,
    plan_claim,
    plan_volume,
)


def claim(phase="Pending", annotations=None, uid="u1", **spec):
    return {
        "metadata": {"name": "c", "namespace": "d", "uid": uid, "annotations": annotations or {}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
            **spec,
        },
        "status": {"phase": phase},
    }


def volume(name="v", size="2Gi", phase="Available", annotations=None, **spec):
    return {
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], **spec},
        "status": {"phase": phase},
    }


REF = {"namespace": "d", "name": "c", "uid": "u1"}
CLASS = {"metadata": {"name": "s"}, "provisioner": "boats.example", "volumeBindingMode": "Immediate"}
WAITS = {**CLASS, "volumeBindingMode": "WaitForFirstConsumer"}


def test_the_smallest_volume_that_fits_is_bound_from_both_sides():
    volumes = [volume("big", "9Gi"), volume("small", "1Gi"), volume("fits", "3Gi")]
    planned = plan_claim(claim(), volumes, {})
    assert planned.volume["metadata"]["name"] == "fits"
    assert planned.volume["spec"]["claimRef"]["uid"] == "u1"
    assert planned.volume["metadata"]["annotations"] == {BOUND_BY_CONTROLLER: "yes"}
    assert planned.claim["spec"]["volumeName"] == "fits"
    assert planned.claim["metadata"]["annotations"] == {BOUND_BY_CONTROLLER: "yes", BIND_COMPLETED: "yes"}
    assert planned.claim["status"]["phase"] == "Bound"
    assert planned.claim["status"]["capacity"] == {"storage": "3Gi"}


def test_binding_settles():
    first = plan_claim(claim(), [volume()], {})
    again = plan_claim(first.claim, [first.volume], {})
    assert (again.claim, again.volume, again.event) == (None, None, None)
    assert plan_volume(first.volume, first.claim).volume is None


@pytest.mark.parametrize(
    ("case", "wish", "offer"),
    [
        ("other class", {"storageClassName": "a"}, {"storageClassName": "b"}),
        ("other mode", {"volumeMode": "Block"}, {}),
        ("access", {"accessModes": ["ReadWriteMany"]}, {}),
        ("selector", {"selector": {"matchLabels": {"a": "b"}}}, {}),
        ("taken", {}, {"claimRef": {"namespace": "d", "name": "other", "uid": "u2"}}),
        ("of a claim before this one", {}, {"claimRef": {**REF, "uid": "old"}}),
        ("released", {}, {"phase": "Released"}),
    ],
)
def test_what_does_not_fit(case, wish, offer):
    assert plan_claim(claim(**wish), [volume(**offer)], {}).volume is None, case


@pytest.mark.parametrize(
    ("case", "classes", "annotations", "reason"),
    [
        ("no class", {}, {}, "ProvisioningFailed"),
        ("a provisioner", {"s": CLASS}, {}, "ExternalProvisioning"),
        ("nobody there", {"s": WAITS}, {}, "WaitForFirstConsumer"),
        ("node chosen", {"s": WAITS}, {SELECTED_NODE: "n"}, "ExternalProvisioning"),
        ("by hand", {"s": {**CLASS, "provisioner": "kubernetes.io/no-provisioner"}}, {}, "FailedBinding"),
    ],
)
def test_why_a_claim_waits(case, classes, annotations, reason):
    planned = plan_claim(claim(storageClassName="s", annotations=annotations), [], classes)
    assert planned.event[1] == reason, case
    if reason == "ExternalProvisioning":
        assert planned.claim["metadata"]["annotations"][PROVISIONER] == "boats.example"


def test_the_scheduler_chooses_for_a_class_that_waits():
    wish = claim(storageClassName="s")
    free = volume(storageClassName="s")
    assert plan_claim(wish, [free], {"s": WAITS}).volume is None
    given = volume("given", storageClassName="s", claimRef=REF)
    assert plan_claim(wish, [free, given], {"s": WAITS}).claim["spec"]["volumeName"] == "given"


def test_a_volume_asked_for_by_name():
    wish = claim(volumeName="v")
    assert plan_claim(wish, [], {}).claim is None
    planned = plan_claim(wish, [volume()], {})
    assert BOUND_BY_CONTROLLER not in planned.claim["metadata"]["annotations"]
    assert plan_claim(wish, [volume(size="1Gi")], {}).event[1] == "VolumeMismatch"
    taken = volume(claimRef={"namespace": "d", "name": "z", "uid": "z"})
    assert plan_claim(wish, [taken], {}).event[1] == "FailedBinding"


def test_a_bound_claim_without_its_volume_is_lost():
    bound = claim("Bound", {BIND_COMPLETED: "yes"}, volumeName="v")
    planned = plan_claim(bound, [], {})
    assert (planned.claim["status"]["phase"], planned.event[1]) == ("Lost", "ClaimLost")


@pytest.mark.parametrize(
    ("case", "spec", "found", "phase"),
    [
        ("free", {}, None, "Available"),
        ("kept for a name", {"claimRef": {"namespace": "d", "name": "c"}}, None, "Available"),
        ("claim gone", {"claimRef": REF}, None, "Released"),
        ("another of that name", {"claimRef": REF}, claim(uid="u9"), "Released"),
        ("bound", {"claimRef": REF}, claim(volumeName="v"), "Bound"),
        ("claim took another", {"claimRef": REF}, claim(volumeName="w"), "Available"),
        (
            "nobody deletes it",
            {"claimRef": REF, "persistentVolumeReclaimPolicy": "Delete"},
            None,
            "Failed",
        ),
    ],
)
def test_phases_of_a_volume(case, spec, found, phase):
    planned = plan_volume(volume(phase="", **spec), found)
    assert planned.volume["status"]["phase"] == phase, case


@pytest.mark.parametrize(
    ("policy", "reason", "text"),
    [
        ("Recycle", "VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        (
            "Delete",
            "VolumeFailedDelete",
            'error getting deleter volume plugin for volume "v": no deletable volume plugin matched',
        ),
    ],
)
def test_a_released_volume_that_nobody_can_reclaim(policy, reason, text):
    freed = volume(phase="Bound", claimRef=REF, persistentVolumeReclaimPolicy=policy)
    planned = plan_volume(freed, None)
    assert planned.volume["status"] == {"phase": "Failed", "message": text}
    assert planned.event == ("Warning", reason, text)
    assert plan_volume(planned.volume, None).event is None, "it is said once"


def named_class(name, made="2026-01-01T00:00:00Z", default="true", **more):
    annotations = {"storageclass.kubernetes.io/is-default-class": default}
    return {
        **CLASS,
        "metadata": {"name": name, "creationTimestamp": made, "annotations": annotations},
        **more,
    }


@pytest.mark.parametrize(
    ("wish", "classes", "given"),
    [
        pytest.param({}, [named_class("a")], "a", id="it said nothing"),
        pytest.param({}, [named_class("a", default="false")], None, id="there is no default"),
        pytest.param({"storageClassName": ""}, [named_class("a")], None, id="it wants none"),
        pytest.param({}, [named_class("a"), named_class("b")], "a", id="of two the first by name"),
        pytest.param(
            {}, [named_class("a"), named_class("b", "2026-02-01T00:00:00Z")], "b", id="of two the newer one"
        ),
    ],
)
def test_a_claim_without_class_gets_a_default_that_came_later(wish, classes, given):
    planned = plan_claim(claim(**wish), [], {item["metadata"]["name"]: item for item in classes})
    found = planned.claim["spec"].get("storageClassName") if planned.claim else None
    assert (found or None) == given


def test_a_volume_without_class_comes_before_the_default():
    planned = plan_claim(claim(), [volume()], {"a": named_class("a")})
    assert planned.claim["spec"].get("storageClassName") is None
    assert planned.claim["spec"]["volumeName"] == "v"


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        ([], ("WaitForFirstConsumer", "waiting for first consumer to be created before binding")),
        (["p"], ("WaitForPodScheduled", "waiting for pod p to be scheduled")),
        (["p", "q"], ("WaitForPodScheduled", "waiting for pods p,q to be scheduled")),
    ],
)
def test_whom_late_binding_waits_for(pods, told):
    planned = plan_claim(claim(storageClassName="s"), [], {"s": WAITS}, pods)
    assert planned.event == ("Normal", *told)
