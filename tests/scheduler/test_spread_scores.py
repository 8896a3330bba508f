"""How nodes rank by a pod's soft spread constraints, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.plugins.topology import PodTopologySpread
from tiphys.scheduler.podinfo import pod_info

HOST = "kubernetes.io/hostname"
TAINTS = [{"key": "k", "value": "v", "effect": "NoSchedule"}]
LABELS = {"foo": "", "bar": "", "baz": ""}


def soft(key: str, skew: int = 1, of: str = "foo", **more: Any) -> dict[str, Any]:
    """Pods with the label ``of``; empty: any that ``matchLabelKeys`` name."""
    selector = {"matchExpressions": [{"key": of, "operator": "Exists"}]} if of else {}
    rule = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
    return {**rule, "labelSelector": selector, **more}


@dataclass(frozen=True)
class Case:
    """``nodes``: labels (``taints`` are taints) by name; ``placed``: node and the labels of a pod there."""

    nodes: dict[str, dict[str, Any]]
    placed: str
    rules: list[dict[str, Any]]
    scores: list[int]
    spec: dict[str, Any] | None = None
    failed: str = ""
    """Nodes that filters have left out; they get no score."""


def hosts(names: str) -> dict[str, dict[str, Any]]:
    return {name: {HOST: name} for name in names}


def zones(said: str, **more: str) -> dict[str, dict[str, Any]]:
    """Nodes by zone: ``ab xy`` are two in each of two."""
    found = enumerate(said.split(), start=1)
    return {name: {"zone": f"zone{index}", HOST: name, **more} for index, names in found for name in names}


ZONES = zones("ab xy")
KEYS: dict[str, dict[str, Any]] = {name: {"node": name} for name in "abc"}
WANTED: dict[str, dict[str, Any]] = {
    name: {"node": name, **({} if name == "c" else {"foo": ""})} for name in "abc"
}
TAINTED: dict[str, dict[str, Any]] = {**KEYS, "c": {"node": "c", "taints": TAINTS}}
SELECTOR = {"nodeSelector": {"foo": ""}}
AFFINE = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "foo", "operator": "In", "values": [""]}]}
                ]
            }
        }
    }
}
DIFFERENT = [soft("zone"), soft(HOST, of="bar")]
IGNORE: dict[str, Any] = {"nodeAffinityPolicy": "Ignore"}

CASES = {
    "nobody is there": Case(hosts("ab"), "", [soft(HOST)], [100, 100]),
    "one node is left": Case(hosts("ab"), "aab", [soft(HOST)], [100], failed="b"),
    "as many on each": Case(hosts("ab"), "ab", [soft(HOST)], [100, 100]),
    "2 1 0 3": Case(hosts("abcd"), "aabddd", [soft(HOST)], [20, 60, 100, 0]),
    "no selector": Case(
        hosts("abcd"), "aabddd", [soft(HOST, labelSelector=None)], [100, 100, 100, 100]
    ),
    "4 3 2 1, a skew of three": Case(hosts("abcd"), "aaaabbbccd", [soft(HOST, 3)], [44, 66, 77, 100]),
    "2 1 0 3, a skew of two": Case(hosts("abcd"), "aabddd", [soft(HOST, 2)], [33, 66, 100, 16]),
    "nodes, one is out": Case(hosts("abxy"), "aaaabbxyyy", [soft(HOST)], [33, 83, 100], failed="y"),
    "nodes, one is out and one has no such label": Case(
        {**hosts("axy"), "b": {"n": "b"}}, "aaaabbxyyy", [soft(HOST)], [16, 0, 100], failed="y"
    ),
    "zones, one node is out": Case(ZONES, "aaaabbxyyy", [soft("zone")], [75, 75, 100], failed="y"),
    "zones and nodes, half are out": Case(
        ZONES, "aabxxyyyy", [soft("zone"), soft(HOST)], [100, 63], failed="by"
    ),
    "zones for two kinds": Case(
        {name: {"zone": labels["zone"]} for name, labels in ZONES.items()},
        "a:foo,bar a b:foo,bar y y:foo,bar y",
        [soft("zone"), soft("zone", of="bar")], [85, 100], failed="by",
    ),
    "zones for one kind, nodes for another": Case(
        ZONES, "a b:foo,bar y y:bar", DIFFERENT, [60, 20, 100, 60]
    ),
    "the same, where some have none": Case(ZONES, "b:bar x y:foo,bar", DIFFERENT, [100, 60, 40, 0]),
    "the same, where one is out": Case(
        ZONES, "a b:foo,bar y y:bar", DIFFERENT, [50, 25, 100], failed="y"
    ),
    "pods of other namespaces": Case(hosts("ab"), "a@other a b b", [soft(HOST)], [100, 33]),
    "pods that end": Case(hosts("ab"), "a! b", [soft(HOST)], [100, 0]),
    "more domains wanted than there are": Case(
        KEYS, "aabbc", [soft("node", 2, minDomains=10)], [75, 75, 100]
    ),
    "a selector of nodes is honoured": Case(WANTED, "aabc", [soft("node")], [0, 33, 100], SELECTOR),
    "a selector of nodes is ignored": Case(
        WANTED, "aabc", [soft("node", **IGNORE)], [66, 100, 100], SELECTOR
    ),
    "affinity to nodes is honoured": Case(WANTED, "aabc", [soft("node")], [0, 33, 100], AFFINE),
    "affinity to nodes is ignored": Case(WANTED, "aabc", [soft("node", **IGNORE)], [66, 100, 100], AFFINE),
    "taints are honoured": Case(TAINTED, "aabc", [soft("node", nodeTaintsPolicy="Honor")], [0, 33, 100]),
    "taints are ignored": Case(TAINTED, "aabc", [soft("node")], [66, 100, 100]),
    "keys of its own, any selector": Case(
        zones("ab cd"), "a b:foo,bar c c:bar",
        [soft("zone", of="", matchLabelKeys=["foo"]), soft(HOST, of="", matchLabelKeys=["bar"])],
        [60, 20, 60, 100],
    ),
    "keys of its own and a selector": Case(
        zones("ab cd"), "a b:foo,bar,baz c c:bar c:bar,baz",
        [soft("zone"), soft(HOST, of="bar", matchLabelKeys=["baz"])], [60, 20, 60, 100],
    ),
    # Nodes: 1 and 1 beside 0; that of the selected by zone: 1 and 0. What runs on b counts on b alone.
    "a node by itself, whatever is honoured": Case(
        {"a": {HOST: "a", "foo": ""}, "b": {HOST: "b"}, "c": {HOST: "c"}}, "ab", [soft(HOST)],
        [0, 0, 100], SELECTOR,
    ),
    # A node without a rack is not counted in its zone either.
    "nodes that lack a label of another constraint": Case(
        {"a": {"zone": "1", "rack": "r"}, "b": {"zone": "1"}, "c": {"zone": "2", "rack": "r"}}, "abbbcc",
        [soft("zone"), soft("rack", 9)], [100, 0, 92],
    ),
}  # fmt: skip


def placed_pods(said: str) -> list[tuple[str, dict[str, Any]]]:
    """Read ``a``, ``a:foo,bar``, ``a@namespace`` and ``a!`` (it ends), or letters of nodes alone."""
    found = []
    for index, one in enumerate(said.split() if " " in said else said):
        where, _, names = one.rstrip("!").partition(":")
        where, _, namespace = where.partition("@")
        metadata: dict[str, Any] = {
            "name": f"p{index}",
            "uid": f"p{index}",
            "namespace": namespace or "default",
        }
        metadata["labels"] = dict.fromkeys(names.split(",") if names else ["foo"], "")
        if one.endswith("!"):
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        spec = {"containers": [{"name": "c", "image": "web:1"}]}
        found.append((where, {"metadata": metadata, "spec": spec}))
    return found


def test_nodes_without_a_zone_rank_by_nodes_where_nobody_asked_for_zones() -> None:
    world = columns(*(node(name) for name in "abcd"))
    service = {"kind": "Service", "metadata": {"name": "s", "namespace": "default"}}
    world.siblings.set_service(None, {**service, "spec": {"selector": {"foo": ""}}})
    for where, pod in placed_pods("aaaabbbccd"):
        world.add_pod(pod_info(pod), where)
    scores = PodTopologySpread().score(info("new", labels={"foo": ""}), world, world.alive)
    assert scores is not None
    assert [int(scores[world.rows[name]]) for name in "abcd"] == [44, 66, 77, 100]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_scores(case: Case) -> None:
    made = []
    for name in sorted(case.nodes):
        labels = {key: value for key, value in case.nodes[name].items() if key != "taints"}
        one = node(name, taints=case.nodes[name].get("taints", []))
        made.append({**one, "metadata": {"name": name, "labels": labels}})
    world = columns(*made)
    for where, pod in placed_pods(case.placed):
        world.add_pod(pod_info(pod), where)
    asking = info("new", labels=LABELS, topologySpreadConstraints=case.rules, **(case.spec or {}))
    feasible = world.alive.copy()
    for name in case.failed:
        feasible[world.rows[name]] = False
    scores = PodTopologySpread().score(asking, world, feasible)
    assert scores is not None
    assert [
        int(scores[world.rows[name]]) for name in sorted(set(case.nodes) - set(case.failed))
    ] == case.scores
