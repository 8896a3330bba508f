"""The arithmetic of rolling and proportional scaling."""

import pytest

from tiphys.controllers.deployment import scaling


def deployment(replicas, surge="25%", unavailable="25%", kind="RollingUpdate"):
    strategy = {"type": kind}
    if kind == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"metadata": {"name": "d"}, "spec": {"replicas": replicas, "strategy": strategy}, "status": {}}


def rs(name, replicas, available=None, maximum=None):
    meta = {"name": name, "uid": name, "creationTimestamp": f"2026-01-01T00:00:0{name[-1]}Z"}
    if maximum is not None:
        meta["annotations"] = {"deployment.kubernetes.io/max-replicas": str(maximum)}
    ready = replicas if available is None else available
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"availableReplicas": ready}}


@pytest.mark.parametrize(
    ("total", "surge", "unavailable", "bounds"),
    [
        (4, "25%", "25%", (1, 1)),
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, 0, (0, 1)),
        (3, 0, "10%", (0, 1)),
        (2, 5, 7, (5, 2)),
    ],
)
def test_bounds(total, surge, unavailable, bounds):
    found = scaling.bounds(deployment(total, surge, unavailable))
    assert (found.surge, found.unavailable) == bounds


@pytest.mark.parametrize(
    ("d", "present", "total", "size"),
    [
        pytest.param(deployment(10, 0, 1), 0, 10, 0, id="no room"),
        pytest.param(deployment(10, 2, 1), 0, 10, 2, id="surge"),
        pytest.param(deployment(10, 2, 1), 0, 5, 7, id="more room"),
        pytest.param(deployment(10, 2, 1), 9, 11, 10, id="never past the wish"),
        pytest.param(deployment(10, kind="Recreate"), 0, 10, 10, id="recreate takes all"),
    ],
)
def test_new_set_size(d, present, total, size):
    assert scaling.new_set_size(d, present, total) == size


@pytest.mark.parametrize(
    ("d", "new", "olds", "sizes"),
    [
        pytest.param(deployment(10, 2, 2), rs("n9", 0), [rs("o1", 10)], {"o1": 8}, id="down to the least"),
        pytest.param(deployment(10, 2, 0), rs("n9", 2, 0), [rs("o1", 10)], {}, id="nothing spare"),
        pytest.param(deployment(10, 2, 0), rs("n9", 2), [rs("o1", 10)], {"o1": 8}, id="new ones are up"),
        pytest.param(
            deployment(6, 2, 1),
            rs("n9", 0),
            [rs("o1", 2, 4), rs("o2", 6, 3)],
            {"o2": 3},
            id="a status that tells of a larger set",
        ),
        pytest.param(
            deployment(10, 2, 2),
            rs("n9", 2, 0),
            [rs("o1", 8, 5), rs("o2", 2)],
            {"o1": 6},
            id="broken go first",
        ),
        pytest.param(deployment(10), rs("n9", 10), [rs("o1", 0)], {}, id="nothing left"),
    ],
)
def test_plan_olds(d, new, olds, sizes):
    assert scaling.plan_olds(d, new, olds) == sizes


@pytest.mark.parametrize(
    ("d", "new", "olds", "sizes"),
    [
        pytest.param(deployment(5), rs("n9", 3), [], {"n9": 5}, id="a single one takes all"),
        pytest.param(deployment(5), rs("n9", 5), [], {}, id="nothing to do"),
        pytest.param(
            deployment(20, 0, 1),
            rs("n9", 5, 3, 10),
            [rs("o1", 5, 5, 10)],
            {"n9": 10, "o1": 10},
            id="in proportion",
        ),
        pytest.param(
            deployment(5, 0, 1),
            rs("n9", 2, 1, 10),
            [rs("o1", 8, 8, 10)],
            {"n9": 1, "o1": 4},
            id="down in proportion",
        ),
        pytest.param(
            deployment(0), rs("n9", 2, 1, 10), [rs("o1", 8, 8, 10)], {"n9": 0, "o1": 0}, id="to nothing"
        ),
        pytest.param(deployment(3), None, [rs("o1", 0)], {"o1": 3}, id="the latest old one"),
    ],
)
def test_plan_scale(d, new, olds, sizes):
    assert scaling.plan_scale(d, new, olds) == sizes
