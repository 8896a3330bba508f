"""A change of a deployment's size in the middle of a rollout, spread over its sets: case by case."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.controllers.deployment.test_scaling import deployment, rs

from tiphys.controllers.deployment import progress, revisions, scaling

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Deployment's size after and before, surge after and before; the new set (None: none); old ones, newest
# first; what each of them is then.
CASES = [
    ("10 to 12", (12, 10, 0, 0), 10, [], 12, []),
    ("10 to 5", (5, 10, 0, 0), 10, [], 5, []),
    ("5 to 10", (10, 5, 0, 0), 2, [3], 4, [6]),
    ("5 to 3", (3, 5, 0, 0), 2, [3], 1, [2]),
    ("9 to 4", (4, 9, 0, 0), 8, [1], 4, [0]),
    ("7 to 10", (10, 7, 0, 0), 2, [3, 2], 3, [4, 3]),
    ("13 to 8", (8, 13, 0, 0), 2, [8, 3], 1, [5, 2]),
    ("3 to 4: the newest takes what is left", (4, 3, 0, 0), 1, [1, 1], 2, [1, 1]),
    ("3 to 2: the oldest gives it", (2, 3, 0, 0), 1, [1, 1], 1, [1, 0]),
    ("4 to 5, no new set", (5, 4, 0, 0), None, [2, 2], None, [3, 2]),
    ("6 to 0", (0, 6, 0, 0), 3, [2, 1], 0, [0, 0]),
    ("from nothing", (6, 6, 0, 0), 0, [0, 0], 6, [0, 0]),
    ("with a surge", (20, 10, 2, 2), 6, [6], 11, [11]),
    ("surge and size", (50, 10, 6, 3), 5, [8], 22, [34]),
    ("size and template", (14, 10, 0, 0), None, [7, 3], None, [10, 4]),
]


@pytest.mark.parametrize(
    ("sizes", "new", "olds", "new_after", "olds_after"),
    [pytest.param(*rest, id=name) for name, *rest in CASES],
)
def test_proportions(sizes, new, olds, new_after, olds_after):
    after, before, surge, surge_before = sizes
    made_for = {"before": before, "most": before + surge_before}
    fresh = None if new is None else _sized(rs("n9", new), **made_for)
    old = [_sized(rs(f"o{8 - index}", size), **made_for) for index, size in enumerate(olds)]
    found = scaling.plan_scale(deployment(after, surge, 1 if surge else 0), fresh, old)
    assert [found.get(f"o{8 - index}", size) for index, size in enumerate(olds)] == olds_after
    assert new is None or found.get("n9", new) == new_after


def _sized(one, before, most):
    annotations = {revisions.DESIRED: str(before), revisions.MAXIMUM: str(most)}
    one["metadata"]["annotations"] = {**one["metadata"].get("annotations", {}), **annotations}
    return one


def test_a_broken_set_of_full_size_leaves_the_old_pods_alone():
    new, old = _sized(rs("n9", 2, 0), 2, 3), _sized(rs("o1", 1), 2, 3)
    assert scaling.plan_scale(deployment(2, 1, 1), new, [old]) == {}


def test_where_no_set_has_pods_the_last_one_made_gets_them():
    older, newer = rs("o1", 0), rs("o2", 0)
    older["metadata"]["annotations"] = {revisions.REVISION: "7"}
    assert scaling.plan_scale(deployment(3), None, [newer, older]) == {"o2": 3}


@pytest.mark.parametrize(
    ("desired", "changed"), [("3", False), ("03", False), ("4", True), ("many", False), (None, False)]
)
def test_a_change_of_size_is_told_by_the_annotation(desired, changed):
    one = rs("n9", 3)
    one["metadata"]["annotations"] = {} if desired is None else {revisions.DESIRED: desired}
    assert scaling.is_scaling(deployment(3), [one]) is changed


def leaving(terminating, seen=1):
    status = {"observedGeneration": seen} if seen else {}
    return {"status": status | ({} if terminating is None else {"terminatingReplicas": terminating})}


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        pytest.param([leaving(3)], 3, id="one"),
        pytest.param([leaving(3), leaving(1)], 4, id="two"),
        pytest.param([leaving(None, seen=0)], 0, id="not looked at yet"),
        pytest.param([leaving(3), leaving(1), leaving(None, seen=0)], 4, id="one of them not"),
        pytest.param([leaving(None)], None, id="does not tell"),
        pytest.param([leaving(3), leaving(None)], None, id="one of them does not"),
    ],
)
def test_pods_on_their_way_out(sets, expected):
    sets = [{**rs(f"o{index}", 1), **one} for index, one in enumerate(sets)]
    status = progress.counts(deployment(3), None, sets, [], NOW)
    assert status.get("terminatingReplicas") == expected
