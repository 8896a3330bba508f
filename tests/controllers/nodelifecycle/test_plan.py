"""Signs of life, taints, and how long pods may stay."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.nodelifecycle.plan import (
    lasting_labels,
    not_ready_status,
    observe,
    plan_taints,
    silent_conditions,
)
from tiphys.controllers.tainteviction.plan import evict_at, undated

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
T = "2026-01-01T11:59:00Z"


def node(ready="True", taints=(), unschedulable=False, **pressure):
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": T}] if ready else []
    conditions += [{"type": type_, "status": status} for type_, status in pressure.items()]
    spec = {"taints": list(taints)} if taints else {}
    if unschedulable:
        spec["unschedulable"] = True
    return {"metadata": {"name": "n1"}, "spec": spec, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"beta.kubernetes.io/os": "linux"}, None, id="only the old one"),
        pytest.param({"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}, None, id="alike"),
        pytest.param({"kubernetes.io/os": "linux"}, {"beta.kubernetes.io/os": "linux"}, id="missing"),
        pytest.param(
            {"kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64", "a": "b"},
            {"beta.kubernetes.io/arch": "arm64"},
            id="another",
        ),
    ],
)
def test_old_labels_follow_the_new(labels, said):
    """Upstream keeps them alike on each node that has the new ones."""
    found = lasting_labels({"metadata": {"labels": labels}})
    assert found == (said and {**labels, **said})


@pytest.mark.parametrize(
    ("found", "taints"),
    [
        pytest.param(node(), None, id="healthy"),
        pytest.param(
            node("False"), [("not-ready", "NoExecute"), ("not-ready", "NoSchedule")], id="not ready"
        ),
        pytest.param(
            node("Unknown"), [("unreachable", "NoExecute"), ("unreachable", "NoSchedule")], id="silent"
        ),
        pytest.param(node(""), None, id="never heard of"),
        pytest.param(node(unschedulable=True), [("unschedulable", "NoSchedule")], id="cordoned"),
        pytest.param(node(DiskPressure="True"), [("disk-pressure", "NoSchedule")], id="pressure"),
    ],
)
def test_taints(found, taints):
    planned = plan_taints(found, NOW)
    short = planned and [(t["key"].removeprefix("node.kubernetes.io/"), t["effect"]) for t in planned]
    assert short == taints


def test_recovery_takes_our_taints_away_and_leaves_others():
    mine = {"key": "mine", "effect": "NoSchedule"}
    old = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": T}
    assert plan_taints(node(taints=[mine, old]), NOW) == [mine]
    assert plan_taints(node("Unknown", taints=[old]), NOW)[0] == old


def effects(planned):
    return sorted(taint["effect"] for taint in planned or ())


def test_a_node_is_given_up_only_when_it_may_be():
    assert effects(plan_taints(node("Unknown"), NOW, may_evict=lambda: False)) == ["NoSchedule"]
    assert effects(plan_taints(node("Unknown"), NOW, spare=True)) == ["NoSchedule"]
    old = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": T}
    kept = plan_taints(node("Unknown", taints=[old]), NOW, may_evict=lambda: False)
    assert effects(kept) == ["NoExecute", "NoSchedule"]
    assert effects(plan_taints(node("Unknown", taints=[old]), NOW, spare=True)) == ["NoSchedule"]
    changed = plan_taints(node("False", taints=[old]), NOW, may_evict=lambda: False)
    assert effects(changed) == ["NoExecute", "NoSchedule"]


def test_silence_is_written_once():
    found = silent_conditions(node(), NOW)
    told = {item["type"]: (item["status"], item["reason"]) for item in found}
    assert told["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert told["PIDPressure"] == ("Unknown", "NodeStatusNeverUpdated")
    again = node()
    again["status"]["conditions"] = found
    assert silent_conditions(again, NOW) is None


def test_only_a_new_sign_is_life():
    first = observe(None, "a", 10.0)
    assert observe(first, "a", 50.0).seen_at == 10.0
    assert observe(first, "b", 50.0).seen_at == 50.0


TAINT = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": T}


@pytest.mark.parametrize(
    ("tolerations", "after_s"),
    [
        pytest.param([], 0, id="none: at once"),
        pytest.param([{"operator": "Exists"}], None, id="all: never"),
        pytest.param(
            [{"key": "k", "operator": "Exists", "tolerationSeconds": 300}], 240, id="since the taint"
        ),
        pytest.param(
            [
                {"key": "k", "operator": "Exists", "tolerationSeconds": 300},
                {"key": "k", "value": "v", "tolerationSeconds": 90},
            ],
            30,
            id="the shortest",
        ),
        pytest.param([{"key": "k", "value": "v", "effect": "NoSchedule"}], 0, id="another effect"),
        pytest.param(
            [{"key": "k", "operator": "Exists", "tolerationSeconds": -1}], -60, id="negative is none"
        ),
    ],
)
def test_eviction(tolerations, after_s):
    at = evict_at({"spec": {"tolerations": tolerations}}, [TAINT], NOW, {})
    assert at == (None if after_s is None else NOW + timedelta(seconds=after_s))


BY_HAND = {"key": "k", "value": "v", "effect": "NoExecute"}
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("taint", "seen", "created", "expected"),
    [
        pytest.param(BY_HAND, {}, None, NOW + 2 * MINUTE, id="new to us"),
        pytest.param(BY_HAND, {"k=v:NoExecute": NOW - MINUTE}, None, NOW + MINUTE, id="seen before"),
        pytest.param(TAINT, {"k=v:NoExecute": NOW}, None, NOW + MINUTE, id="it says when"),
        pytest.param(TAINT, {}, NOW - 2 * MINUTE, NOW + MINUTE, id="the pod was there before"),
        pytest.param(TAINT, {}, NOW, NOW + 2 * MINUTE, id="the pod came later"),
    ],
)
def test_since_when_a_taint_is_borne(taint, seen, created, expected):
    meta = {"creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ")} if created else {}
    spec = {"tolerations": [{"operator": "Exists", "tolerationSeconds": 120}]}
    assert evict_at({"metadata": meta, "spec": spec}, [taint], NOW, seen) == expected


def test_taints_are_seen_first_and_forgotten():
    first = undated([BY_HAND, TAINT, {"key": "s", "effect": "NoSchedule"}], {}, NOW)
    assert first == {"k=v:NoExecute": NOW}
    assert undated([BY_HAND], first, NOW + MINUTE) == first
    assert undated([], first, NOW + MINUTE) == {}


def test_pods_of_a_silent_node_are_not_ready():
    pod = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    status = not_ready_status(pod, NOW)
    assert status["conditions"][0]["status"] == "False"
    assert not_ready_status({"status": status}, NOW) is None
