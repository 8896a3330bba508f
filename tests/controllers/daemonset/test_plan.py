"""Single steps of a DaemonSet: who starts, who goes, what the status says."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.daemonset.plan import plan

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds_ago):
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def daemon(unavailable=1, surge=0, strategy="RollingUpdate", **spec):
    settings = {"maxUnavailable": unavailable, "maxSurge": surge}
    return {
        "metadata": {"name": "agent", "namespace": "d", "uid": "u", "generation": 1},
        "spec": {
            "template": {"spec": {"containers": [{"name": "c"}]}},
            "updateStrategy": {"type": strategy, "rollingUpdate": settings},
            **spec,
        },
    }


def nodes(*names):
    return [{"metadata": {"name": name}, "spec": {}} for name in names]


def pod(name, node, *, digest="new", ready_s=60, phase="Running", deleting=False, bound=True, age_s=100):
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": at(ready_s or 0)}
    meta = {"name": name, "creationTimestamp": at(age_s), "labels": {"controller-revision-hash": digest}}
    if deleting:
        meta["deletionTimestamp"] = at(1)
    pinned = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [pinned]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    conditions = [ready] if ready_s is not None else []
    return {
        "metadata": meta,
        "spec": {"affinity": affinity, **({"nodeName": node} if bound else {})},
        "status": {"phase": phase, "conditions": conditions},
    }


def gone(planned):
    return sorted(item["metadata"]["name"] for item in planned.delete)


@pytest.mark.parametrize(
    ("pods", "create", "delete"),
    [
        pytest.param([], ["n1"], [], id="none yet"),
        pytest.param([pod("a", "n1")], [], [], id="there"),
        pytest.param([pod("a", "n1", deleting=True)], [], [], id="the last one is still going"),
        pytest.param(
            [pod("a", "n1", phase="Failed", deleting=True)], ["n1"], [], id="the last one has ended already"
        ),
        pytest.param([pod("a", "n1", phase="Failed")], [], ["a"], id="failed"),
        pytest.param([pod("a", "n1", phase="Succeeded")], [], ["a"], id="succeeded, which it should not"),
        pytest.param(
            [pod("a", "n1", age_s=5), pod("b", "n1", age_s=9)], [], ["a"], id="the older of two stays"
        ),
        pytest.param(
            [pod("a", "n1", age_s=5), pod("b", "n1", age_s=9, bound=False)],
            [],
            ["b"],
            id="the bound one stays",
        ),
        pytest.param(
            [pod("a", "n1", age_s=5), pod("b", "n1", age_s=9, digest="old")],
            [],
            ["a"],
            id="the older one stays, whatever its revision",
        ),
    ],
)
def test_one_on_a_node(pods, create, delete):
    planned = plan(daemon(strategy="OnDelete"), nodes("n1"), pods, "new", NOW)
    assert (planned.create, gone(planned)) == (create, delete)


def test_a_failed_one_may_have_to_wait():
    pods = [pod("a", "n1", phase="Failed"), pod("b", "n2", phase="Failed")]
    planned = plan(daemon(), nodes("n1", "n2"), pods, "new", NOW, waits={"n1": 7.0})
    assert (gone(planned), planned.create, planned.recheck_s) == (["b"], [], 7.0)
    assert [item["metadata"]["name"] for item in planned.failed] == ["b"]


def three(first, second, third):
    return [pod("a", "n1", **first), pod("b", "n2", **second), pod("c", "n3", **third)]


OLD, OLD_DOWN = {"digest": "old"}, {"digest": "old", "ready_s": None}
NEW, NEW_DOWN = {}, {"ready_s": None}


@pytest.mark.parametrize(
    ("pods", "unavailable", "delete"),
    [
        pytest.param(three(OLD, OLD, OLD), 1, 1, id="one at a time"),
        pytest.param(three(OLD, OLD, OLD), "50%", 2, id="half of them, rounded up"),
        pytest.param(three(NEW, NEW_DOWN, OLD), 1, [], id="a new one is not up yet"),
        pytest.param(three(NEW, NEW, OLD), 1, ["c"], id="the last"),
        pytest.param(three(NEW, NEW, NEW), 1, [], id="done"),
        pytest.param(three(OLD_DOWN, NEW, NEW), 1, ["a"], id="one that is down costs nothing"),
        pytest.param(three(OLD_DOWN, OLD_DOWN, OLD_DOWN), 1, ["a", "b", "c"], id="all are down"),
        pytest.param(three(OLD_DOWN, NEW_DOWN, OLD), 1, ["a"], id="down, and no room for more"),
        pytest.param(three(OLD_DOWN, NEW, OLD), 1, ["a", "c"], id="old ones that are down take no room"),
        pytest.param(three({**OLD, "deleting": True}, OLD, OLD), 1, [], id="one is going"),
        pytest.param(three(OLD, OLD, OLD)[:2], 1, [], id="one is missing"),
    ],
)
def test_updates_in_place(pods, unavailable, delete):
    found = gone(plan(daemon(unavailable), nodes("n1", "n2", "n3"), pods, "new", NOW))
    assert len(found) == delete if isinstance(delete, int) else found == delete


@pytest.mark.parametrize(
    ("pods", "create", "delete"),
    [
        pytest.param([pod("a", "n1", digest="old")], ["n1"], [], id="a second beside it"),
        pytest.param(
            [pod("a", "n1", digest="old"), pod("b", "n1", ready_s=None)], [], [], id="the new one is not up"
        ),
        pytest.param([pod("a", "n1", digest="old"), pod("b", "n1")], [], ["a"], id="the new one is up"),
        pytest.param(
            [
                pod("a", "n1", digest="old"),
                pod("b", "n1", ready_s=None),
                pod("c", "n1", age_s=1, ready_s=None),
            ],
            [],
            ["c"],
            id="never two new ones",
        ),
    ],
)
def test_updates_with_a_surge(pods, create, delete):
    planned = plan(daemon(0, 1), nodes("n1"), pods, "new", NOW)
    assert (planned.create, gone(planned)) == (create, delete)


def tainted(name):
    return {"metadata": {"name": name}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}


@pytest.mark.parametrize(
    ("old", "new", "create", "delete"),
    [
        pytest.param(
            {"ready_s": None}, {"ready_s": None}, [], ["a"], id="neither is ready: the new one stays"
        ),
        pytest.param({}, {"ready_s": 5}, [], [], id="the new one is ready, but not for long enough"),
        pytest.param({"ready_s": 5}, {"ready_s": 5}, [], [], id="both are ready, but not for long enough"),
        pytest.param({}, {"ready_s": 60}, [], ["a"], id="the new one is available"),
    ],
)
def test_of_two_one_goes(old, new, create, delete):
    pods = [pod("a", "n1", digest="old", **old), pod("b", "n1", **new)]
    planned = plan(daemon(0, 1, minReadySeconds=30), nodes("n1"), pods, "new", NOW)
    assert (planned.create, gone(planned)) == (create, delete)


@pytest.mark.parametrize(
    ("surge", "pods", "create", "delete"),
    [
        pytest.param(0, [pod("a", "n1"), pod("b", "n2", digest="old")], [], ["b"], id="in place"),
        pytest.param(
            0, [pod("a", "n1", ready_s=None), pod("b", "n2", digest="old")], [], [], id="in place, no room"
        ),
        pytest.param(1, [pod("a", "n1"), pod("b", "n2", digest="old")], [], ["b"], id="surge: one is spare"),
        pytest.param(
            1, [pod("a", "n1", ready_s=None), pod("b", "n2", digest="old")], [], [], id="surge: none is spare"
        ),
    ],
)
def test_old_ones_go_too_where_no_new_one_may_start(surge, pods, create, delete):
    planned = plan(daemon(1 - surge, surge), [*nodes("n1"), tainted("n2")], pods, "new", NOW)
    assert (planned.create, gone(planned)) == (create, delete)


def test_an_update_that_could_never_move_takes_one_at_a_time():
    pods = [pod("a", "n1", digest="old"), pod("b", "n2", digest="old")]
    assert gone(plan(daemon("0%", 0), nodes("n1", "n2"), pods, "new", NOW)) == ["a"]


@pytest.mark.parametrize(
    ("waiting", "delete"), [({"bound": False}, ["a"]), ({"bound": False, "deleting": True}, []), ({}, [])]
)
def test_what_waits_for_a_node_that_is_gone_goes(waiting, delete):
    pods = [pod("a", "n9", **waiting), pod("b", "n1")]
    assert gone(plan(daemon(), nodes("n1"), pods, "new", NOW)) == delete


def counts(pods, *names, **spec):
    status = plan(daemon(strategy="OnDelete", **spec), nodes(*names), pods, "new", NOW).status
    fields = ("currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled")
    return tuple(status.get(name, 0) for name in fields)


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([], (0, 0, 0, 0), id="none"),
        pytest.param([pod("a", "n1", ready_s=None)], (1, 0, 0, 1), id="not ready"),
        pytest.param([pod("a", "n1", ready_s=5)], (1, 1, 0, 1), id="not available yet"),
        pytest.param([pod("a", "n1", digest="old")], (1, 1, 1, 0), id="of an old template"),
        pytest.param([pod("a", "n1", deleting=True)], (1, 1, 1, 1), id="going, and still ready"),
        pytest.param([pod("a", "n1", phase="Failed", ready_s=None)], (1, 0, 0, 1), id="failed"),
        pytest.param([pod("a", "n1", phase="Failed", deleting=True)], (0, 0, 0, 0), id="failed and gone"),
        pytest.param([pod("a", "gone")], (0, 0, 0, 0), id="its node is gone"),
    ],
)
def test_the_status(pods, expected):
    assert counts(pods, "n1", minReadySeconds=10) == expected


def test_what_others_said_in_the_status_stays():
    said = {"type": "StatusPatched", "status": "True"}
    owner = {**daemon(), "status": {"conditions": [said], "collisionCount": 2, "numberReady": 9}}
    status = plan(owner, nodes("n1"), [pod("a", "n1")], "new", NOW).status
    assert (status["conditions"], status["collisionCount"], status["numberReady"]) == ([said], 2, 1)
