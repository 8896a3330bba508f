"""What claims a pod needs, and when a claim loses its consumers, its devices, its life."""

import pytest

from tiphys.controllers.resourceclaim.plan import (
    FINALIZER,
    POD_CLAIM_NAME,
    ClaimPlan,
    PodPlan,
    claim_names,
    new_claim,
    plan_claim,
    plan_pod,
    pod_statuses,
)

SPEC = {"devices": {"requests": [{"name": "gpu"}]}}


def pod(*asked, node="", phase="Running", uid="u1", statuses=(), deleting=False):
    meta = {"name": "web", "namespace": "default", "uid": uid}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"resourceClaims": list(asked)}
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": spec,
        "status": {"phase": phase, "resourceClaimStatuses": list(statuses)},
    }


def from_template(name="gpu", template="t"):
    return {"name": name, "resourceClaimTemplateName": template}


def owner(uid="u1"):
    return {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid, "controller": True}


def claim(name="web-gpu-x", *, owned="", allocated=False, consumers=(), finalizers=(), deleting=False):
    meta = {"name": name, "namespace": "default", "finalizers": list(finalizers), "annotations": {}}
    if owned:
        meta["ownerReferences"] = [owner(owned)]
        meta["annotations"] = {POD_CLAIM_NAME: "gpu"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = {}
    if allocated:
        status["allocation"] = {"devices": {}}
    if consumers:
        status["reservedFor"] = list(consumers)
    return {"metadata": meta, "spec": SPEC, "status": status}


def consumer(uid="u1", **more):
    return {"resource": "pods", "name": "web", "uid": uid, **more}


TEMPLATE = {
    "metadata": {"name": "t", "namespace": "default"},
    "spec": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": SPEC},
}


def test_a_template_makes_a_claim_of_the_pods_own():
    made = new_claim(pod(from_template()), "gpu", TEMPLATE)
    assert made["metadata"] == {
        "generateName": "web-gpu-",
        "namespace": "default",
        "labels": {"a": "b"},
        "annotations": {"c": "d", POD_CLAIM_NAME: "gpu"},
        "ownerReferences": [{**owner(), "blockOwnerDeletion": True}],
    }
    assert made["spec"] == SPEC
    assert plan_pod(pod(from_template()), [], {"t": TEMPLATE}) == PodPlan(make=(("gpu", made),))


@pytest.mark.parametrize(
    ("asking", "claims", "expected"),
    [
        (pod({"name": "gpu", "resourceClaimName": "shared"}), [], PodPlan()),
        (pod(from_template()), [claim(owned="u1")], PodPlan(found=(("gpu", "web-gpu-x"),))),
        (pod(from_template(template="none")), [], PodPlan(missing_templates=(("gpu", "none"),))),
        (pod(from_template(template="none")), [claim(owned="u1")], PodPlan(found=(("gpu", "web-gpu-x"),))),
        (pod(from_template(), statuses=[{"name": "gpu"}]), [], PodPlan()),
        (pod(from_template(), phase="Succeeded"), [], PodPlan()),
        (pod(from_template(), deleting=True), [], PodPlan()),
        (
            pod({"name": "gpu", "resourceClaimName": "s"}, node="n"),
            [claim("s", allocated=True)],
            PodPlan(reserve=("s",)),
        ),
        (
            pod({"name": "gpu", "resourceClaimName": "s"}, node="n"),
            [claim("s", allocated=True, consumers=[consumer()])],
            PodPlan(),
        ),
        (pod({"name": "gpu", "resourceClaimName": "s"}, node="n"), [claim("s")], PodPlan()),
        (pod({"name": "gpu", "resourceClaimName": "s"}), [claim("s", allocated=True)], PodPlan()),
    ],
    ids=[
        *("a claim of people's", "made already", "no template", "made before its template went"),
        *("none is needed", "it has ended", "it is leaving", "nobody scheduled it", "a consumer already"),
        *("no devices yet", "the scheduler's turn"),
    ],
)
def test_pods(asking, claims, expected):
    assert plan_pod(asking, claims, {"t": TEMPLATE}) == expected


def test_a_claim_of_an_earlier_pod_is_not_this_ones():
    planned = plan_pod(pod(from_template()), [claim(owned="earlier")], {"t": TEMPLATE})
    assert [name for name, _ in planned.make] == ["gpu"]


def test_the_pod_says_what_its_claims_are_called():
    one = {"name": "a", "resourceClaimName": "web-a-1"}
    assert pod_statuses(pod(statuses=[one]), {"a": "web-a-1"}) is None
    assert pod_statuses(pod(), {}) is None
    two = {"name": "b", "resourceClaimName": "web-b-1"}
    assert pod_statuses(pod(statuses=[one]), {"b": "web-b-1"}) == [one, two]
    asking = pod(
        from_template("a"), from_template("b"), {"name": "c", "resourceClaimName": "s"}, statuses=[one]
    )
    assert claim_names(asking) == ["web-a-1", "s"]


def emptied(before, **status):
    return {**before, "status": status}


USED = claim(allocated=True, consumers=[consumer()], finalizers=[FINALIZER, "x"])
LEAVING = claim(allocated=True, finalizers=[FINALIZER], deleting=True)
MADE = claim(owned="u1", allocated=True, consumers=[consumer()], finalizers=[FINALIZER])
IDLE = claim(allocated=True, finalizers=[FINALIZER])
FOREIGN = claim(allocated=True, consumers=[consumer(apiGroup="boats.example", resource="boats")])
SHARED = claim(allocated=True, consumers=[consumer(), consumer("u2")], finalizers=[FINALIZER])
FREE = {**USED, "metadata": {**USED["metadata"], "finalizers": ["x"]}}
GONE = {**LEAVING, "metadata": {**LEAVING["metadata"], "finalizers": []}}
BARE = {**MADE, "metadata": {**MADE["metadata"], "finalizers": []}}

CLAIMS = {
    "in use": (USED, pod(), ClaimPlan()),
    "its pod is gone": (USED, None, ClaimPlan(emptied(USED), FREE)),
    "another pod has the name": (USED, pod(uid="u9"), ClaimPlan(emptied(USED), FREE)),
    "its pod has ended": (USED, pod(phase="Failed"), ClaimPlan(emptied(USED), FREE)),
    "its pod ends where it ran": (USED, pod(node="n", deleting=True), ClaimPlan()),
    "its pod never ran": (USED, pod(deleting=True), ClaimPlan(emptied(USED), FREE)),
    "one of two remains": (
        SHARED,
        pod(),
        ClaimPlan({**SHARED, "status": {**SHARED["status"], "reservedFor": [consumer()]}}),
    ),
    "nobody uses it yet": (IDLE, None, ClaimPlan()),
    "to be deleted": (LEAVING, None, ClaimPlan(emptied(LEAVING), GONE)),
    "of others than pods": (FOREIGN, None, ClaimPlan()),
    "made for a pod that ended": (
        MADE, pod(phase="Succeeded"), ClaimPlan(emptied(MADE), BARE, delete=True),
    ),
    "made for an earlier pod of the name": (
        MADE, pod(uid="u9"), ClaimPlan(emptied(MADE), BARE, delete=True),
    ),
    "made for a pod that is gone": (MADE, None, ClaimPlan(emptied(MADE), BARE)),
}  # fmt: skip


@pytest.mark.parametrize("case", CLAIMS.values(), ids=CLAIMS.keys())
def test_claims(case):
    before, found, expected = case
    assert plan_claim(before, lambda _name: found) == expected


def test_a_second_look_changes_nothing():
    after = emptied(FREE)
    assert plan_claim(after, lambda _name: None) == ClaimPlan()
