"""Arguments of a profile's plugins: what they change, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, near, node, term

from tiphys.scheduler.arguments import read_arguments
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.config import API_VERSION, KIND, read_configuration
from tiphys.scheduler.framework import Profile, decide
from tiphys.scheduler.profile import make_profile

GPU = "example.com/gpu"


def profile(plugin: str, **args: Any) -> Profile:
    raw = {"pluginConfig": [{"name": plugin, "args": args}]}
    document = {"apiVersion": API_VERSION, "kind": KIND, "profiles": [raw]}
    return make_profile(read_configuration(document).profiles[0])


def fit(kind: str, shape: list[tuple[int, int]] | None = None, **resources: int) -> Profile:
    strategy: dict[str, Any] = {"type": kind}
    if resources:
        named = [{"name": name.replace("gpu", GPU), "weight": weight} for name, weight in resources.items()]
        strategy["resources"] = named
    if shape is not None:
        points = [{"utilization": utilization, "score": score} for utilization, score in shape]
        strategy["requestedToCapacityRatio"] = {"shape": points}
    return profile("NodeResourcesFit", scoringStrategy=strategy)


def chosen(pod: Any, cluster: Columns, made: Profile) -> set[str]:
    return {decide(pod, cluster, made, turn=turn).node for turn in range(4)}


def half_full() -> Columns:
    cluster = columns(node("busy"), node("idle"))
    cluster.add_pod(info("other", cpu="2", memory="4Gi"), "busy")
    return cluster


PACKING = [(0, 0), (100, 10)]
SPREADING = [(0, 10), (100, 0)]
STRATEGIES: dict[str, tuple[Profile, str]] = {
    "the emptiest": (fit("LeastAllocated"), "idle"),
    "the fullest": (fit("MostAllocated"), "busy"),
    "by a rising shape": (fit("RequestedToCapacityRatio", PACKING), "busy"),
    "by a falling shape": (fit("RequestedToCapacityRatio", SPREADING), "idle"),
}


@pytest.mark.parametrize("case", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_the_strategy_chooses(case: tuple[Profile, str]) -> None:
    made, where = case
    assert chosen(info(cpu="500m", memory="1Gi"), half_full(), made) == {where}


def test_a_strategy_packs_devices() -> None:
    cluster = columns(*(node(name, extended={GPU: "8"}) for name in ("a", "b")))
    user = info("user")
    user.requests = {GPU: 2}
    cluster.add_pod(user, "b")
    asks = info("asks")
    asks.requests = {GPU: 1}
    assert chosen(asks, cluster, fit("RequestedToCapacityRatio", PACKING, gpu=5)) == {"b"}
    assert chosen(asks, cluster, fit("LeastAllocated", gpu=1)) == {"a"}
    # Nobody asked for a device: that one has them free does not make a node better.
    assert chosen(info("plain"), cluster, fit("LeastAllocated", gpu=1)) == {"a", "b"}


def test_resources_may_be_ignored() -> None:
    pod, large = info("asks"), info("asks more")
    pod.requests = {GPU: 1, "other.io/fpga": 1, "cpu": 100}
    large.requests = {**pod.requests, "cpu": 100_000}
    bare = columns(node("a"))
    made = profile("NodeResourcesFit", ignoredResources=[GPU], ignoredResourceGroups=["other.io"])
    assert decide(pod, bare, made).node == "a"
    only = profile("NodeResourcesFit", ignoredResourceGroups=["other.io"])
    assert decide(pod, bare, only).message() == f"0/1 nodes are available: 1 Insufficient {GPU}."
    assert decide(large, bare, made).message() == "0/1 nodes are available: 1 Insufficient cpu."


def test_what_balance_is_about() -> None:
    cluster = columns(node("a", extended={GPU: "4"}), node("b", extended={GPU: "4"}))
    hog = info("hog", cpu="3", memory="6Gi")
    cluster.add_pod(hog, "a")
    asks = info("asks")
    asks.requests = {GPU: 3}
    made = profile(
        "NodeResourcesBalancedAllocation", resources=[{"name": name} for name in ("cpu", "memory", GPU)]
    )
    (balance,) = (one for one, _ in made.scores if one.name == "NodeResourcesBalancedAllocation")
    scores = balance.score(asks, cluster, cluster.alive)
    assert scores is not None
    assert scores[cluster.rows["a"]] == 93  # 3/4 of all, after shares that were 0.3536 apart
    assert scores[cluster.rows["b"]] == 57  # 0, 0 and 3/4 are as far apart, after an empty node
    usual = profile("NodeResourcesFit")
    (plain,) = (one for one, _ in usual.scores if one.name == "NodeResourcesBalancedAllocation")
    assert plain.score(asks, cluster, cluster.alive) is None


def wishes_for(app: str) -> dict[str, Any]:
    wish = {"weight": 10, "podAffinityTerm": term(app, "kubernetes.io/hostname")}
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}


@pytest.mark.parametrize(("weight", "where"), [(100, {"a"}), (0, {"b"})])
def test_what_required_affinity_of_others_weighs(weight: int, where: set[str]) -> None:
    cluster = columns(node("a"), node("b"))
    cluster.add_pod(info("first", cpu="1", labels={"app": "db"}, affinity=near("web")), "a")
    made = profile("InterPodAffinity", hardPodAffinityWeight=weight)
    assert chosen(info(cpu="1", labels={"app": "web"}), cluster, made) == where


@pytest.mark.parametrize(("ignore", "where"), [(False, {"a"}), (True, {"b"})])
def test_wishes_of_others_may_be_ignored(ignore: bool, where: set[str]) -> None:
    cluster = columns(node("a"), node("b"))
    cluster.add_pod(info("first", cpu="1", affinity=wishes_for("web")), "a")
    made = profile("InterPodAffinity", ignorePreferredTermsOfExistingPods=ignore)
    assert chosen(info(cpu="1", labels={"app": "web"}), cluster, made) == where
    with_own = info(cpu="1", labels={"app": "web"}, affinity=wishes_for("nobody"))
    assert chosen(with_own, cluster, made) == {"a"}


AT = "pluginConfig[0].args"
RACK = {"topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}
FAULTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "strategy": (
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "Roomy", "resources": [{"name": "cpu", "weight": 101}]}},
        [
            f'{AT}.scoringStrategy.type: Unsupported value: "Roomy": supported values: '
            '"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"',
            f"{AT}.scoringStrategy.resources[0].weight: Invalid value: 101: "
            "resource weight of cpu not in valid range (0, 100]",
        ],
    ),
    "no shape": (
        "NodeResourcesFit", {"scoringStrategy": {"type": "RequestedToCapacityRatio"}},
        [
            f"{AT}.scoringStrategy.requestedToCapacityRatio: Required value: "
            "must be specified when type is RequestedToCapacityRatio"
        ],
    ),
    "an empty shape": (
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": []}}},
        [
            f"{AT}.scoringStrategy.requestedToCapacityRatio.shape: Required value: "
            "at least one point must be specified"
        ],
    ),
    "a wrong shape": (
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": [
            {"utilization": 50, "score": 11}, {"utilization": 50, "score": 1},
            {"utilization": 101, "score": 1},
        ]}}},
        [
            f"{AT}.scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 50: "
            "values must be sorted in increasing order",
            f"{AT}.scoringStrategy.requestedToCapacityRatio.shape[0].score: Invalid value: 11: "
            "not in valid range [0, 10]",
            f"{AT}.scoringStrategy.requestedToCapacityRatio.shape[2].utilization: Invalid value: 101: "
            "not in valid range [0, 100]",
        ],
    ),
    "a shape for nothing": (
        "NodeResourcesFit", {"scoringStrategy": {"type": "MostAllocated", "requestedToCapacityRatio": {}}},
        [
            f"{AT}.scoringStrategy.requestedToCapacityRatio: Forbidden: "
            "must be nil when type is not RequestedToCapacityRatio"
        ],
    ),
    "a group with a name": (
        "NodeResourcesFit", {"ignoredResourceGroups": ["a.io/b"]},
        [f'{AT}.ignoredResourceGroups[0]: Invalid value: "a.io/b": resource group name can\'t contain \'/\''],
    ),
    "balance": (
        "NodeResourcesBalancedAllocation", {"resources": [{"name": "cpu", "weight": 2}, {"name": "cpu"}]},
        [
            f"{AT}.resources[0].weight: Invalid value: 2: must be 1",
            f'{AT}.resources[1].name: Duplicate value: "cpu"',
        ],
    ),
    "affinity": (
        "InterPodAffinity", {"hardPodAffinityWeight": 101},
        [f"{AT}.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"],
    ),
    "time": (
        "VolumeBinding", {"bindTimeoutSeconds": -1},
        [
            f"{AT}.bindTimeoutSeconds: Invalid value: -1: "
            "invalid BindTimeoutSeconds, should not be a negative value"
        ],
    ),
    "candidates": (
        "DefaultPreemption", {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0},
        [
            f"{AT}.minCandidateNodesPercentage: Invalid value: 0: "
            "cannot be zero at the same time as minCandidateNodesAbsolute",
            f"{AT}.minCandidateNodesAbsolute: Invalid value: 0: "
            "cannot be zero at the same time as minCandidateNodesPercentage",
        ],
    ),
    "too few candidates": (
        "DefaultPreemption", {"minCandidateNodesPercentage": 101, "minCandidateNodesAbsolute": -1},
        [
            f"{AT}.minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
            f"{AT}.minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
        ],
    ),
    "who gives the defaults": (
        "PodTopologySpread", {"defaultingType": "Mine"},
        [f'{AT}.defaultingType: Unsupported value: "Mine": supported values: "System", "List"'],
    ),
    "defaults beside the system's": (
        "PodTopologySpread", {"defaultConstraints": [{**RACK, "maxSkew": 1}]},
        [f'{AT}.defaultingType: Invalid value: "System": when .defaultConstraints are not empty'],
    ),
    "default constraints": (
        "PodTopologySpread",
        {"defaultingType": "List", "defaultConstraints": [
            {**RACK, "maxSkew": 0, "labelSelector": {}}, {**RACK, "maxSkew": 1}, {"maxSkew": 1},
            {"maxSkew": 1, "topologyKey": "_", "whenUnsatisfiable": "Never"}]},
        [
            f"{AT}.defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
            f"{AT}.defaultConstraints[0].labelSelector: Forbidden: "
            "constraint must not define a selector, as they deduced for each pod",
            f'{AT}.defaultConstraints[1]: Duplicate value: "{{rack, ScheduleAnyway}}"',
            f"{AT}.defaultConstraints[2].topologyKey: Required value: can not be empty",
            f"{AT}.defaultConstraints[2].whenUnsatisfiable: Required value: can not be empty",
            f'{AT}.defaultConstraints[3].topologyKey: Invalid value: "_": name part must consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            f'{AT}.defaultConstraints[3].whenUnsatisfiable: Unsupported value: "Never": '
            'supported values: "DoNotSchedule", "ScheduleAnyway"',
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(case: tuple[str, dict[str, Any], list[str]]) -> None:
    plugin, args, texts = case
    faults: list[str] = []
    read_arguments([{"name": plugin, "args": args}], "pluginConfig", faults)
    assert faults == texts


def test_valid_arguments_have_no_faults() -> None:
    faults: list[str] = []
    raw = {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 5}
    read_arguments([{"name": "DefaultPreemption", "args": raw}], "pluginConfig", faults)
    assert faults == []
    listed = {"defaultingType": "List", "defaultConstraints": [{**RACK, "maxSkew": 2}]}
    read = read_arguments([{"name": "PodTopologySpread", "args": listed}], "pluginConfig", faults)
    assert (faults, read.spread_defaults.constraints) == ([], ({**RACK, "maxSkew": 2},))


STRANGE: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "of another plugin": (
        "DefaultPreemption",
        {"kind": "InterPodAffinityArgs"},
        [
            "decoding .p[0]: args for plugin DefaultPreemption were not of type "
            "DefaultPreemptionArgs.kubescheduler.config.k8s.io, got "
            "InterPodAffinityArgs.kubescheduler.config.k8s.io"
        ],
    ),
    "points of a shape": (
        "NodeResourcesFit",
        {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {
            "shape": [{"Score": 2, "Utilization": 1}]}}},
        [
            'unknown field "p[0].args.scoringStrategy.requestedToCapacityRatio.shape[0].Score"',
            'unknown field "p[0].args.scoringStrategy.requestedToCapacityRatio.shape[0].Utilization"',
        ],
    ),
    "resources of a strategy": (
        "NodeResourcesFit",
        {"scoringStrategy": {"resources": [{"name": "cpu"}, {"Name": "cpu", "Weight": 1}]}},
        [
            'unknown field "p[0].args.scoringStrategy.resources[1].Name"',
            'unknown field "p[0].args.scoringStrategy.resources[1].Weight"',
        ],
    ),
    "no time at all": (
        "DynamicResources",
        {"filterTimeout": "-5s"},
        ["p[0].args.filterTimeout: Invalid value: -5s: must be zero or positive"],
    ),
    "no duration": (
        "DynamicResources",
        {"filterTimeout": "long"},
        ['p[0].args.filterTimeout: Invalid value: "long": time: invalid duration "long"'],
    ),
    "nothing but a kind": ("DefaultPreemption", {"kind": "DefaultPreemptionArgs"}, []),
    "a time to filter in": ("DynamicResources", {"filterTimeout": "0s"}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_not_of_the_arguments(case: tuple[str, dict[str, Any], list[str]]) -> None:
    plugin, args, texts = case
    faults: list[str] = []
    read_arguments([{"name": plugin, "args": args}], "p", faults)
    assert faults == texts
