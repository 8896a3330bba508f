"""When pods leave for the taints of their devices."""

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.controllers.devicetainteviction.plan import evict_at, tainted_devices, tolerates

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADDED = "2026-01-01T11:59:00Z"


def taint(key="broken", effect="NoExecute", added=ADDED, **more):
    return {"key": key, "effect": effect, "timeAdded": added, **more}


def pool_slice(*taints, generation=1, device="d0", pool="p"):
    devices = [{"name": device, "taints": list(taints)}]
    return {"spec": {"driver": "x", "pool": {"name": pool, "generation": generation}, "devices": devices}}


def claim(*tolerations, device="d0"):
    result = {"driver": "x", "pool": "p", "device": device, "tolerations": list(tolerations)}
    return {"status": {"allocation": {"devices": {"results": [result]}}}}


def after(seconds):
    return NOW - timedelta(seconds=60) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("taints", "tolerations", "at"),
    [
        pytest.param([], [], None, id="no taint"),
        pytest.param([taint()], [], after(0), id="not tolerated"),
        pytest.param([taint(effect="NoSchedule")], [], None, id="it keeps only others away"),
        pytest.param([taint()], [{"operator": "Exists"}], None, id="tolerated for good"),
        pytest.param(
            [taint()],
            [{"operator": "Exists", "tolerationSeconds": 90}],
            after(90),
            id="tolerated for a while",
        ),
        pytest.param(
            [taint()],
            [{"operator": "Exists", "tolerationSeconds": 90}, {"key": "broken", "tolerationSeconds": 30}],
            after(30),
            id="the shortest counts",
        ),
        pytest.param(
            [taint()],
            [{"operator": "Exists", "tolerationSeconds": 9}, {"key": "broken"}],
            None,
            id="one that tolerates for good is enough",
        ),
        pytest.param(
            [taint()], [{"operator": "Exists", "tolerationSeconds": -5}], after(0), id="less than none"
        ),
        pytest.param([taint(), taint("late", added="2026-01-01T12:30:00Z")], [], after(0), id="the earliest"),
        pytest.param([taint()], [{"key": "other"}], after(0), id="another key"),
        pytest.param([taint(added=None)], [], None, id="nobody knows since when"),
    ],
)
def test_evict_at(taints, tolerations, at):
    assert evict_at([claim(*tolerations)], tainted_devices([pool_slice(*taints)])) == at


def test_of_several_claims_the_earliest():
    tainted = tainted_devices([pool_slice(taint()), pool_slice(taint(), device="d1")])
    patient = claim({"operator": "Exists", "tolerationSeconds": 100}, device="d1")
    assert evict_at([patient], tainted) == after(100)
    assert evict_at([patient, claim()], tainted) == after(0)
    assert evict_at([{"status": {}}], tainted) is None, "a claim without devices"


def test_only_the_newest_generation_of_a_pool_counts():
    old, new = pool_slice(taint()), pool_slice(generation=2)
    assert tainted_devices([old, new]) == {}
    assert list(tainted_devices([old, pool_slice(generation=2, pool="q")])) == [("x", "p", "d0")]


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "j", "operator": "Exists"}, False),
        ({"value": "v"}, True),
    ],
)
def test_tolerates(toleration, fits):
    assert tolerates(toleration, {"key": "k", "value": "v", "effect": "NoExecute"}) is fits
