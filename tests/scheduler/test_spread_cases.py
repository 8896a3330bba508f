"""Which nodes a pod may go to by its spread constraints, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.scheduler.framework import run_filters
from tiphys.scheduler.profile import default_profile

TAINT = [{"key": "k", "value": "v", "effect": "NoSchedule"}]
FOUR = {"n0": "z0", "n1": "z0", "n2": "z1", "n3": "z1"}


def four(**more: dict[str, Any]) -> list[dict[str, Any]]:
    """Two nodes in each of two zones; ``more`` by name."""
    made = []
    for name, zone in FOUR.items():
        extra = more.get(name, {})
        labels = {"zone": zone, "node": name, **extra.get("labels", {})}
        made.append(node(name, labels=labels, taints=extra.get("taints", [])))
    return made


def spread(key: str, skew: int = 1, **more: Any) -> dict[str, Any]:
    selector = {"matchExpressions": [{"key": "foo", "operator": "Exists"}]}
    rule = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
    return {**rule, "labelSelector": selector, **more}


def allowed(
    nodes: list[dict[str, Any]], placed: list[tuple[str, dict[str, str]]], *rules: dict[str, Any], **spec: Any
) -> str:
    world = columns(*nodes)
    for index, (where, labels) in enumerate(placed):
        world.add_pod(info(f"p{index}", labels=labels), where)
    labels = spec.pop("labels", {"foo": ""})
    asking = info("new", labels=labels, topologySpreadConstraints=list(rules), **spec)
    feasible, _ = run_filters(asking, world, default_profile())
    return " ".join(sorted(name for name, row in world.rows.items() if feasible[row]))


def foo(*names: str, **labels: str) -> list[tuple[str, dict[str, str]]]:
    return [(name, {"foo": "", **labels}) for name in names]


@pytest.mark.parametrize(
    ("placed", "rules", "where"),
    [
        pytest.param([], [spread("node")], "n0 n1 n2 n3", id="nobody is there"),
        pytest.param(foo("n0", "n1", "n3"), [spread("node")], "n2", id="one node has none"),
        pytest.param(foo("n0", "n0", "n3"), [spread("node", 2)], "n1 n2 n3", id="a skew of two"),
        pytest.param(foo("n0", "n1", "n2"), [spread("zone")], "n2 n3", id="two to one in zones"),
        pytest.param(foo("n0", "n2"), [spread("zone")], "n0 n1 n2 n3", id="even"),
        pytest.param(
            foo("n0", "n0", "n2"),
            [spread("zone"), spread("node")],
            "n3",
            id="both in the zone and on the node",
        ),
        pytest.param(
            foo("n0", "n1", "n3", "n3"), [spread("zone"), spread("node")], "n2", id="zones even, nodes not"
        ),
        pytest.param(foo("n0", "n0", "n1", "n3"), [spread("zone"), spread("node")], "n2", id="more in one"),
        pytest.param(foo("n0", "n2"), [spread("zone", minDomains=3)], "", id="a third zone is wanted"),
        pytest.param(
            foo("n0"), [spread("zone", minDomains=3)], "n2 n3", id="a third zone, one zone is empty"
        ),
        pytest.param(
            foo("n0", "n1"), [spread("zone", labelSelector=None)], "n0 n1 n2 n3", id="no selector: of nobody"
        ),
        pytest.param(foo("n0", "n1"), [spread("zone", labelSelector={})], "n2 n3", id="of everybody"),
        pytest.param(foo("n0", "n1"), [spread("rack")], "", id="no node has such a label"),
        pytest.param(
            [*foo("n0"), ("n2", {"bar": ""})], [spread("zone")], "n2 n3", id="others are not counted"
        ),
    ],
)
def test_counts_and_domains(
    placed: list[tuple[str, dict[str, str]]], rules: list[dict[str, Any]], where: str
) -> None:
    assert allowed(four(), placed, *rules) == where


def test_a_selector_leaves_zones_out() -> None:
    assert allowed(four(), foo("n0"), spread("node"), nodeSelector={"zone": "z0"}) == "n1"


def test_a_pod_that_does_not_match_its_own_rule() -> None:
    """It adds nothing where it goes: only those that are too many already are closed."""
    assert allowed(four(), foo("n0", "n0", "n2"), spread("zone"), labels={"bar": ""}) == "n0 n1 n2 n3"
    assert allowed(four(), foo("n0", "n0", "n1"), spread("zone"), labels={"bar": ""}) == "n2 n3"


HONOR, IGNORE = "Honor", "Ignore"
BAR = {"labels": {"foo": ""}}
ALL = foo("n0", "n1", "n2", "n3")


@pytest.mark.parametrize(
    ("nodes", "rules", "spec", "where"),
    [
        pytest.param(
            {"n2": {"taints": TAINT}},
            [spread("node", nodeTaintsPolicy=IGNORE)],
            {"placed": foo("n0", "n1", "n3")},
            "",
            id="the tainted node counts: it is where the pod should go",
        ),
        pytest.param(
            {"n2": {"taints": TAINT}},
            [spread("node", nodeTaintsPolicy=HONOR)],
            {"placed": foo("n0", "n1", "n3")},
            "n0 n1 n3",
            id="the tainted node does not count",
        ),
        pytest.param(
            {"n0": BAR, "n1": BAR, "n3": BAR},
            [spread("node")],
            {"placed": foo("n0", "n1", "n3"), "nodeSelector": {"foo": ""}},
            "n0 n1 n3",
            id="a node that the pod does not want does not count",
        ),
        pytest.param(
            {"n0": BAR, "n1": BAR, "n3": BAR},
            [spread("node", nodeAffinityPolicy=IGNORE)],
            {"placed": foo("n0", "n1", "n3"), "nodeSelector": {"foo": ""}},
            "",
            id="a node that the pod does not want counts all the same",
        ),
        pytest.param(
            {"n0": BAR, "n1": {**BAR, "taints": TAINT}, "n3": BAR},
            [spread("zone"), spread("node")],
            {"placed": ALL, "nodeSelector": {"foo": ""}},
            "n3",
            id="by zones (two to one) and by nodes",
        ),
        pytest.param(
            {"n0": BAR, "n1": {**BAR, "taints": TAINT}, "n3": BAR},
            [spread("zone", nodeAffinityPolicy=IGNORE), spread("node", nodeTaintsPolicy=HONOR)],
            {"placed": ALL, "nodeSelector": {"foo": ""}},
            "n0 n3",
            id="zones count all nodes, nodes only those where the pod can go",
        ),
    ],
)
def test_which_nodes_are_counted(
    nodes: dict[str, Any], rules: list[dict[str, Any]], spec: dict[str, Any], where: str
) -> None:
    placed = spec["placed"]
    rest = {key: value for key, value in spec.items() if key != "placed"}
    assert allowed(four(**nodes), placed, *rules, **rest) == where


@pytest.mark.parametrize(
    ("selector", "keys", "placed", "where"),
    [
        pytest.param(
            True,
            ["bar"],
            [*foo("n0", "n1"), *foo("n2", bar="")],
            "n0 n1",
            id="of its own kind, and the selector",
        ),
        pytest.param(False, ["foo"], foo("n0", "n1", "n2"), "n2 n3", id="an empty selector and its own kind"),
        pytest.param(True, ["missing"], foo("n0", "n1", "n2"), "n2 n3", id="a label that it does not have"),
    ],
)
def test_pods_of_the_same_kind(
    selector: bool, keys: list[str], placed: list[tuple[str, dict[str, str]]], where: str
) -> None:
    rule = spread("zone", matchLabelKeys=keys)
    rule = rule if selector else {**rule, "labelSelector": {}}
    assert allowed(four(), placed, rule, labels={"foo": "", "bar": ""}) == where
