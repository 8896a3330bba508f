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
        (
            "by hand",
            {"s": {**CLASS, "provisioner": "kubernetes.io/no-provisioner"}},
            {},
            "ProvisioningFailed",
        ),
        (
            "once in the tree",
            {"s": {**CLASS, "provisioner": "kubernetes.io/cinder"}},
            {},
            "ExternalProvisioning",
        ),
    ],
)
def test_why_a_claim_waits(case, classes, annotations, reason):
    planned = plan_claim(claim(storageClassName="s", annotations=annotations), [], classes)
    assert planned.event[1] == reason, case
    if reason == "ExternalProvisioning":
        expected = "cinder.csi.openstack.org" if case == "once in the tree" else "boats.example"
        assert planned.claim["metadata"]["annotations"][PROVISIONER] == expected


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


NO_DELETER = 'error getting deleter volume plugin for volume "v"'


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
    ("policy", "kind", "reason", "text"),
    [
        ("Recycle", {}, "VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        ("Delete", {"csi": {}}, "VolumeFailedDelete", f"{NO_DELETER}: no deletable volume plugin matched"),
        ("Delete", {"iscsi": {}}, "VolumeFailedDelete", f"{NO_DELETER}: no volume plugin matched"),
        (
            "Delete", {"hostPath": {"path": "/data"}}, "VolumeFailedDelete",
            "host_path deleter only supports /tmp/.+ but received provided /data",
        ),
    ],
)  # fmt: skip
def test_a_released_volume_that_nobody_can_reclaim(policy, kind, reason, text):
    freed = volume(phase="Bound", claimRef=REF, persistentVolumeReclaimPolicy=policy, **kind)
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


@pytest.mark.parametrize(
    ("case", "wish", "offers", "taken"),
    [
        ("fewest ways to use it", {}, [volume("a"), volume("b", "9Gi", accessModes=["ReadWriteOnce"])], "b"),
        ("then the smallest", {}, [volume("b", "9Gi"), volume("c", "3Gi"), volume("a", "3Gi")], "a"),
        ("kept for it, any class", {}, [volume("a"), volume("b", storageClassName="s", claimRef=REF)], "b"),
        ("kept for it, and too small", {}, [volume("a"), volume("b", "1Gi", claimRef=REF)], "a"),
        (
            "kept for it, of other attributes", {},
            [volume("a"), volume("b", volumeAttributesClassName="fast", claimRef=REF)], "a",
        ),
        ("other attributes", {}, [volume("a", volumeAttributesClassName="fast"), volume("b", "9Gi")], "b"),
        (
            "attributes asked for", {"volumeAttributesClassName": "fast"},
            [volume("a", volumeAttributesClassName="fast"), volume("b", "1Gi")], "a",
        ),
        ("named and kept, though too small", {"volumeName": "b"}, [volume("b", "1Gi", claimRef=REF)], "b"),
    ],
)  # fmt: skip
def test_which_volume_a_claim_takes(case, wish, offers, taken):
    planned = plan_claim(claim(**wish), offers, {})
    assert planned.claim["spec"]["volumeName"] == taken, case
    current = planned.claim["status"].get("currentVolumeAttributesClassName")
    assert current == wish.get("volumeAttributesClassName")


@pytest.mark.parametrize(
    ("spec", "offers", "reason", "text"),
    [
        (
            {}, [], "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        ),
        (
            {"volumeName": "v"}, [volume(claimRef={"namespace": "d", "name": "c"})], "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
        ),
    ],
)  # fmt: skip
def test_bound_claims_that_are_lost(spec, offers, reason, text):
    planned = plan_claim(claim("Bound", {BIND_COMPLETED: "yes"}, **spec), offers, {})
    assert planned.claim["status"]["phase"] == "Lost"
    assert planned.event == ("Warning", reason, text)


def test_a_volume_that_is_marked_for_deletion_is_not_bound():
    leaving = volume()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    text = 'Cannot bind to requested volume "v": the volume is marked for deletion "v"'
    assert plan_claim(claim(volumeName="v"), [leaving], {}).event == ("Warning", "VolumeMismatch", text)
    assert plan_claim(claim(), [leaving], {}).volume is None
    leaving["spec"]["claimRef"] = REF
    assert plan_claim(claim(), [leaving], {}).volume is None


def test_a_volume_made_for_a_claim_that_took_another_goes():
    made = {"pv.kubernetes.io/provisioned-by": "boats.example"}
    spare = volume(phase="Bound", annotations=made, claimRef=REF, persistentVolumeReclaimPolicy="Delete")
    planned = plan_volume(spare, claim(volumeName="other"))
    assert planned.volume["status"]["phase"] == "Released"
    assert planned.volume["spec"]["claimRef"] == REF


def test_a_volume_that_could_not_be_reclaimed_says_so_until_it_is_free():
    told = {"phase": "Failed", "message": "no", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}
    made = {"pv.kubernetes.io/provisioned-by": "boats.example"}
    for annotations in (made, {}):
        failed = volume(annotations=annotations, claimRef=REF, persistentVolumeReclaimPolicy="Delete")
        planned = plan_volume({**failed, "status": told}, None)
        assert (planned.volume, planned.event) == (None, None)
    freed = plan_volume({**volume(), "status": told}, None).volume
    assert freed["status"] == {"phase": "Available", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}
