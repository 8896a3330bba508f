"""Decisions over columns: each filter's verdict and words, each score's preference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scheduler_builders import anti, columns, info, near, node

from tiphys.scheduler.framework import decide
from tiphys.scheduler.profile import default_profile

ZONE = "topology.kubernetes.io/zone"
GPU_TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
TAINT_TEXT = "node(s) had untolerated taint(s)"


def in_zones(*zones: str) -> list[dict[str, Any]]:
    return [node(f"n{index}", labels={ZONE: zone}) for index, zone in enumerate(zones)]


REASONS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "no nodes": ([], {}, "no nodes available to schedule pods"),
    "cpu": ([node("a", cpu="1")], {"cpu": "2"}, "0/1 nodes are available: 1 Insufficient cpu."),
    "cpu and memory": (
        [node("a", cpu="1", memory="1Gi"), node("b", cpu="1")],
        {"cpu": "2", "memory": "2Gi"},
        "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu.",
    ),
    "too many pods": ([node("a", pods="0")], {}, "0/1 nodes are available: 1 Too many pods."),
    "taint": ([node("a", taints=[GPU_TAINT])], {}, f"0/1 nodes are available: 1 {TAINT_TEXT}."),
    "cordoned": (
        [node("a", unschedulable=True)],
        {},
        "0/1 nodes are available: 1 node(s) were unschedulable.",
    ),
    "selector": (
        [node("a"), node("b", cpu="0")],
        {"nodeSelector": {"disk": "ssd"}},
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    ),
    "mixed": (
        [node("a", cpu="0"), node("b", taints=[GPU_TAINT]), node("c", unschedulable=True)],
        {"cpu": "1"},
        f"0/3 nodes are available: 1 Insufficient cpu, 1 {TAINT_TEXT}, 1 node(s) were unschedulable.",
    ),
    "no pod to be near": (
        [node("a")],
        {"affinity": near("db")},
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
    ),
}


@pytest.mark.parametrize("case", REASONS.values(), ids=REASONS.keys())
def test_says_why_nothing_fits(case: tuple[list[dict[str, Any]], dict[str, Any], str]) -> None:
    nodes, pod, message = case
    decision = decide(info(**pod), columns(*nodes), default_profile())
    assert not decision.node
    assert decision.message() == message


TOLERATED: dict[str, tuple[dict[str, Any], bool]] = {
    "equal": ({"key": "gpu", "value": "yes", "effect": "NoSchedule"}, True),
    "other value": ({"key": "gpu", "value": "no"}, False),
    "exists": ({"key": "gpu", "operator": "Exists"}, True),
    "everything": ({"operator": "Exists"}, True),
    "other effect": ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    "other key": ({"key": "disk", "operator": "Exists"}, False),
}


@pytest.mark.parametrize("case", TOLERATED.values(), ids=TOLERATED.keys())
def test_tolerations(case: tuple[dict[str, Any], bool]) -> None:
    toleration, fits = case
    decision = decide(
        info(tolerations=[toleration]), columns(node("a", taints=[GPU_TAINT])), default_profile()
    )
    assert bool(decision.node) is fits


def requirement(operator: str, *values: str, key: str = "size") -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}]
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": rule}}


AFFINITY: dict[str, tuple[dict[str, Any], bool]] = {
    "in": (requirement("In", "4", "5"), True),
    "not in": (requirement("NotIn", "5"), False),
    "exists": (requirement("Exists"), True),
    "does not exist": (requirement("DoesNotExist"), False),
    "not in, label absent": (requirement("NotIn", "x", key="absent"), True),
    "greater": (requirement("Gt", "4"), True),
    "less": (requirement("Lt", "5"), False),
    "greater, no number": (requirement("Gt", "x"), False),
}


@pytest.mark.parametrize("case", AFFINITY.values(), ids=AFFINITY.keys())
def test_node_affinity(case: tuple[dict[str, Any], bool]) -> None:
    pod, fits = case
    assert bool(decide(info(**pod), columns(node("a", labels={"size": "5"})), default_profile()).node) is fits


def test_host_ports_clash_until_the_pod_is_gone() -> None:
    cluster, profile = columns(node("a")), default_profile()
    first, second = info("first", host_ports=[8080]), info("second", host_ports=[8080])
    cluster.add_pod(first, "a")
    decision = decide(second, cluster, profile)
    assert decision.message() == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )
    cluster.remove_pod(first.uid)
    assert decide(second, cluster, profile).node == "a"


def test_anti_affinity_holds_both_ways() -> None:
    cluster, profile = columns(*in_zones("east", "west")), default_profile()
    lonely = info("lonely", labels={"app": "web"}, affinity=anti("web", ZONE))
    cluster.add_pod(lonely, "n0")
    plain = info("plain", labels={"app": "web"})
    assert decide(plain, cluster, profile).node == "n1"
    cluster.add_pod(plain, "n1")
    blocked = decide(info("other", labels={"app": "web"}, affinity=anti("web", ZONE)), cluster, profile)
    assert blocked.message() == ("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.")
    assert decide(info("x", labels={"app": "web"}), columns(*in_zones("east")), profile).node == "n0"


def test_affinity_follows_and_the_first_of_its_kind_may_start() -> None:
    cluster, profile = columns(*in_zones("east", "west", "west")), default_profile()
    seed = info("seed", labels={"app": "db"}, affinity=near("db", ZONE))
    assert decide(seed, cluster, profile).node
    cluster.add_pod(seed, "n1")
    for turn in range(4):
        assert decide(info(affinity=near("db", ZONE)), cluster, profile, turn=turn).node in ("n1", "n2")


def spread(when: str, **more: Any) -> dict[str, Any]:
    one = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    return {"labels": {"app": "web"}, "topologySpreadConstraints": [{**one, **more}]}


@pytest.mark.parametrize("when", ["DoNotSchedule", "ScheduleAnyway"])
def test_spread_evens_zones_out(when: str) -> None:
    cluster, profile = columns(*in_zones("east", "east", "west")), default_profile()
    for turn in range(6):
        made = info(f"p{turn}", **spread(when))
        cluster.add_pod(made, decide(made, cluster, profile, turn=turn).node)
    west = len(cluster.pods[cluster.rows["n2"]])
    assert west == 3


def test_spread_says_what_is_wrong() -> None:
    cluster = columns(node("bare"))
    decision = decide(info(**spread("DoNotSchedule")), cluster, default_profile())
    assert "didn't match pod topology spread constraints (missing required label)" in decision.message()


def test_min_domains_keeps_a_second_pod_waiting() -> None:
    cluster, profile = columns(*in_zones("east")), default_profile()
    made = info("one", **spread("DoNotSchedule", minDomains=2))
    cluster.add_pod(made, decide(made, cluster, profile).node)
    assert not decide(info("two", **spread("DoNotSchedule", minDomains=2)), cluster, profile).node


def test_prefers_the_emptier_node_and_the_one_with_the_image() -> None:
    profile = default_profile()
    cluster = columns(node("a"), node("b"))
    cluster.add_pod(info("busy", cpu="3", memory="6Gi"), "a")
    assert decide(info(cpu="100m"), cluster, profile).node == "b"
    image = {"names": ["web:1"], "sizeBytes": 900 * 1024 * 1024}
    with_image = columns(node("a"), node("b", images=[image]))
    assert decide(info(image="web:1"), with_image, default_profile()).node == "b"


def test_prefers_by_weight_and_avoids_soft_taints() -> None:
    rule = {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    pod = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [rule]}}}
    cluster = columns(node("a"), node("b", labels={"disk": "ssd"}))
    assert {decide(info(**pod), cluster, default_profile(), turn=turn).node for turn in range(3)} == {"b"}
    soft = node("a", taints=[{"key": "x", "effect": "PreferNoSchedule"}])
    assert {decide(info(), columns(soft, node("b")), default_profile(), turn=t).node for t in range(3)} == {
        "b"
    }


def test_the_best_of_the_nodes_that_fit_is_taken_though_a_full_one_scores_more() -> None:
    cluster = columns(node("good", labels={"a": "b"}, pods="0"), node("small", cpu="1"), node("big", cpu="8"))
    wish = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
    ]}}  # fmt: skip
    decision = decide(info(cpu="500m", affinity=wish), cluster, default_profile())
    assert decision.node == "big"


def test_equal_nodes_take_turns() -> None:
    cluster = columns(node("a"), node("b"))
    assert {decide(info(), cluster, default_profile(), turn=turn).node for turn in range(2)} == {"a", "b"}


def test_extended_resources_count() -> None:
    cluster, profile = columns(node("a"), node("b", extended={"example.com/gpu": "1"})), default_profile()
    pod = info("gpu")
    pod.requests = {"example.com/gpu": 1}
    assert decide(pod, cluster, profile).node == "b"
    cluster.add_pod(pod, "b")
    again = info("gpu2")
    again.requests = {"example.com/gpu": 1}
    assert (
        decide(again, cluster, profile).message()
        == "0/2 nodes are available: 2 Insufficient example.com/gpu."
    )


SHARES: dict[str, tuple[int | None, int, int]] = {
    "nobody says: all": (None, 5000, 5000),
    "few nodes: all": (10, 99, 99),
    "never less than a hundred": (10, 500, 100),
    "a share": (30, 1000, 300),
    "all": (100, 1000, 1000),
    "by their number": (0, 1000, 420),
    "the more, the fewer": (0, 5000, 500),
    "never less than a twentieth": (0, 10000, 500),
}


@pytest.mark.parametrize("case", SHARES.values(), ids=SHARES.keys())
def test_how_many_nodes_are_enough(case: tuple[int | None, int, int]) -> None:
    percentage, nodes, enough = case
    assert replace(default_profile(), percentage=percentage).enough(nodes) == enough


def test_a_search_that_has_enough_goes_on_there_next_time() -> None:
    cluster = columns(*(node(f"n{index}", unschedulable=not index % 2) for index in range(400)))
    profile = replace(default_profile(), percentage=25)
    first = decide(info(), cluster, profile, start=150)
    assert first.looked_at == 200, "every other node will do, a hundred are enough"
    assert cluster.rows[first.node] in range(150, 350)
    second = decide(info(), cluster, profile, start=350)
    assert cluster.rows[second.node] in {*range(350, 400), *range(150)}
    third = decide(info(nodeSelector={"x": "y"}), cluster, profile, start=7)
    assert (third.node, third.looked_at) == ("", 400)


def only_on(*terms: list[str] | None, **more: Any) -> dict[str, Any]:
    """Return an affinity to nodes by name, a list for each term (None: a term about something else)."""
    written: list[dict[str, Any]] = []
    for names in terms:
        field = {"key": "metadata.name", "operator": "In", "values": names}
        written.append({"matchFields": [field]} if names is not None else {"matchExpressions": []})
    written[0] |= more
    return {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": written}}
    }


def test_a_pod_that_names_its_nodes_hears_of_no_others() -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    cluster = columns(node("a", cpu="1"), node("b", taints=[taint]), node("c"), node("d"))
    placed = decide(info(affinity=only_on(["c", "gone"])), cluster, default_profile())
    assert placed.node == "c"
    full = decide(info(cpu="2", affinity=only_on(["a"])), cluster, default_profile())
    assert full.message() == (
        "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    tainted = decide(info(affinity=only_on(["b"], ["gone"])), cluster, default_profile())
    assert tainted.message() == (
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), "
        "3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    labels = {"matchExpressions": [{"key": "x", "operator": "Exists"}]}
    unlike = decide(info(affinity=only_on(["c"], **labels)), cluster, default_profile())
    assert unlike.message() == (
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    conflict = decide(info(affinity=only_on([])), cluster, default_profile())
    assert conflict.message() == "0/4 nodes are available: pod affinity terms conflict."
    either = decide(info(cpu="9", affinity=only_on(["c"], None, **labels)), cluster, default_profile())
    assert "plugin(s)" not in either.message()


def test_masks_are_kept_by_what_they_depend_on() -> None:
    cluster = columns(node("a", taints=[{"key": "k", "effect": "NoSchedule"}]), node("b", labels={"x": "y"}))
    profile = default_profile()
    tolerant = [{"key": "k", "operator": "Exists"}]
    for _ in range(2):
        assert decide(info(), cluster, profile).node == "b"
        assert decide(info(nodeSelector={"x": "y"}), cluster, profile).node == "b"
        assert not decide(info(nodeSelector={"x": "z"}, tolerations=tolerant), cluster, profile).node
        assert {decide(info(tolerations=tolerant), cluster, profile, turn=i).node for i in range(2)} == {
            "a",
            "b",
        }
        cluster.set_node(node("c"))
        cluster.remove_node("c")
