"""Single steps of a deployment, and that steps settle within bounds."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.meta import copy_object
from tiphys.controllers.conditions import find
from tiphys.controllers.deployment import plan as module
from tiphys.controllers.deployment.plan import plan
from tiphys.controllers.deployment.revisions import REVISION, REVISION_HISTORY, set_annotations, split
from tiphys.controllers.deployment.scaling import bounds

SERIAL = itertools.count(1)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def deployment(replicas=4, image="v1", **spec):
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            **spec,
        },
    }


def stored(rs, uid, available=None):
    rs = copy_object(rs)
    replicas = rs["spec"]["replicas"]
    ready = replicas if available is None else available
    rs["metadata"].update(uid=uid, generation=1, creationTimestamp=f"2026-01-01T{int(uid[1:]):06}")
    rs["status"] = {
        "replicas": replicas,
        "availableReplicas": ready,
        "readyReplicas": ready,
        "observedGeneration": 1,
    }
    return rs


def apply(d, sets, planned, ready=True):
    """Write a plan into plain values, as the shell and the ReplicaSet controller would."""
    d = copy_object(d)
    d["metadata"].setdefault("annotations", {}).update(planned.annotations)
    d["status"] = planned.status
    by_name = {rs["metadata"]["name"]: rs for rs in sets}
    if planned.create:
        name = planned.create["metadata"]["name"]
        by_name[name] = stored(planned.create, f"u{next(SERIAL)}", None if ready else 0)
    for item in planned.resize:
        rs = item.desired
        before = (rs.get("status") or {}).get("availableReplicas", 0)
        uid = rs["metadata"]["uid"]
        fresh = stored(rs, uid, None if ready else min(before, item.after))
        by_name[rs["metadata"]["name"]] = fresh
    for rs in planned.delete:
        del by_name[rs["metadata"]["name"]]
    return d, list(by_name.values())


def finish(d, sets, now=NOW):
    for _ in range(50):
        planned = plan(d, sets, now)
        status_same = planned.status == d.get("status")
        if status_same and not (planned.create or planned.resize or planned.delete or planned.annotations):
            return d, sets
        d, sets = apply(d, sets, planned)
        assert sum(rs["spec"]["replicas"] for rs in sets) <= d["spec"]["replicas"] + bounds(d).surge
    raise AssertionError("it never settled")


def condition(d, type_):
    found = find(d["status"]["conditions"], type_)
    return found["status"], found["reason"], found["message"]


def test_the_first_step_makes_a_set_with_the_hash_everywhere():
    planned = plan(deployment(), [], NOW)
    rs = planned.create
    digest = rs["metadata"]["labels"]["pod-template-hash"]
    assert rs["metadata"]["name"] == f"web-{digest}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert rs["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == digest
    assert rs["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "4",
        "deployment.kubernetes.io/max-replicas": "5",
    }
    assert planned.annotations == {"deployment.kubernetes.io/revision": "1"}
    assert find(planned.status["conditions"], "Progressing")["reason"] == "NewReplicaSetCreated"


def test_a_deployment_completes():
    d, sets = finish(deployment(), [])
    name = sets[0]["metadata"]["name"]
    assert condition(d, "Available") == (
        "True",
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
    )
    assert condition(d, "Progressing") == (
        "True",
        "NewReplicaSetAvailable",
        f'ReplicaSet "{name}" has successfully progressed.',
    )
    assert d["status"]["availableReplicas"] == 4


@pytest.mark.parametrize("surge", [0, 1, "25%", "100%"])
@pytest.mark.parametrize("unavailable", [0, 1, "50%"])
def test_a_rollout_settles_within_bounds_and_keeps_history(surge, unavailable):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    d, sets = finish(deployment(strategy=strategy), [])
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    d["metadata"]["generation"] = 2
    d, sets = finish(d, sets)
    assert sorted(rs["spec"]["replicas"] for rs in sets) == [0, 4]
    assert d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


def test_rolling_back_reuses_the_old_set_with_a_new_revision():
    d, sets = finish(deployment(), [])
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    d, sets = finish(d, sets)
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "v1"
    d, sets = finish(d, sets)
    assert len(sets) == 2
    (live,) = [rs for rs in sets if rs["spec"]["replicas"]]
    assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


@pytest.mark.parametrize(
    ("where", "amount", "same"),
    [
        ("sizeLimit", "1.500", True),
        ("sizeLimit", "1.501", False),
        ("sizeLimit", "no amount", False),
        ("medium", "1.500", False),
    ],
)
def test_a_template_that_is_written_in_another_way_is_no_other(where, amount, same):
    def asked(text):
        volumes = [{"name": "v", "emptyDir": {where: text}}]
        d = deployment()
        d["spec"]["template"]["spec"]["volumes"] = volumes
        return d

    sets = finish(asked("1500m"), [])[1]
    new, olds = split(asked(amount), sets)
    assert (new is not None, len(olds)) == (same, not same)


def test_history_is_limited():
    d, sets = finish(deployment(revisionHistoryLimit=1), [])
    for version in ("v2", "v3", "v4"):
        d["spec"]["template"]["spec"]["containers"][0]["image"] = version
        d, sets = finish(d, sets)
    assert len(sets) == 2


def test_unready_pods_hold_the_rollout_and_the_deadline_strikes():
    d, sets = finish(deployment(), [])
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "bad"
    for _ in range(10):
        planned = plan(d, sets, NOW)
        d, sets = apply(d, sets, planned, ready=False)
    assert sorted(rs["spec"]["replicas"] for rs in sets) == [2, 3]
    assert planned.recheck_s == 601
    planned = plan(d, sets, NOW + timedelta(seconds=601))
    found = find(planned.status["conditions"], "Progressing")
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_paused_scales_but_does_not_roll():
    d, sets = finish(deployment(), [])
    d["spec"].update(paused=True, replicas=6)
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    d, sets = finish(d, sets)
    assert [rs["spec"]["replicas"] for rs in sets] == [6]
    assert condition(d, "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")
    d["spec"]["paused"] = False
    d, sets = finish(d, sets)
    assert sorted(rs["spec"]["replicas"] for rs in sets) == [0, 6]


def test_recreate_waits_for_the_last_old_pod():
    d, sets = finish(deployment(strategy={"type": "Recreate"}), [])
    d["spec"]["template"]["spec"]["containers"][0]["image"] = "v2"
    planned = plan(d, sets, NOW, old_pods_running=True)
    assert [item.after for item in planned.resize] == [0]
    d, sets = apply(d, sets, planned)
    planned = plan(d, sets, NOW, old_pods_running=True)
    assert (planned.create, planned.resize) == (None, [])
    planned = plan(d, sets, NOW)
    assert planned.create["spec"]["replicas"] == 4


def test_cached_sets_are_never_changed():
    d, sets = finish(deployment(), [])
    d["spec"]["replicas"] = 9
    before = copy_object(sets)
    module.plan(d, sets, NOW)
    assert sets == before


@pytest.mark.parametrize(
    ("before", "after", "history"),
    [("", "3", None), ("1", "3", "1"), ("3", "3", None), ("9", "9", None), ("x", "x", None)],
)
def test_a_revision_only_grows(before, after, history):
    """Words that somebody wrote in its place stay."""
    present = {REVISION: before} if before else {}
    found = set_annotations(deployment(), present, 3, fresh=False)
    assert (found[REVISION], found.get(REVISION_HISTORY)) == (after, history)
