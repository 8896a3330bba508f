"""Fast columns equal a plain loop over nodes and pods, in random clusters that keep changing.

The reference below reads the objects themselves and remembers nothing; it is written to be obvious.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scheduler_builders import anti, columns, near, node, pod

from tiphys.scheduler.columns import PODS_COLUMN, Columns
from tiphys.scheduler.framework import decide, reasons_against, run_filters
from tiphys.scheduler.plugins.demand import Demands, Judgement
from tiphys.scheduler.plugins.strategy import MOST, RATIO, Strategy
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile

HOST = "kubernetes.io/hostname"
ZONE = "zone"
TAINTS = [{"key": "t", "value": value, "effect": effect} for value, effect in
          (("x", "NoSchedule"), ("y", "NoExecute"), ("z", "PreferNoSchedule"))]  # fmt: skip


# -- the reference


def cpu(text: Any) -> Fraction:
    text = str(text or "0")
    return Fraction(text[:-1]) / 1000 if text.endswith("m") else Fraction(text)


def cpu_of(one: dict[str, Any]) -> Fraction:
    return sum(
        (cpu(c["resources"]["requests"].get("cpu")) for c in one["spec"]["containers"]), start=Fraction(0)
    )


class Naive:
    """Nodes and placed pods as they were given."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.where: dict[str, tuple[dict[str, Any], str]] = {}

    def on(self, name: str) -> list[dict[str, Any]]:
        return [one for one, where in self.where.values() if where == name]

    def feasible(self, one: dict[str, Any]) -> set[str]:
        return {name for name in self.nodes if self.fits(one, name)}

    def fits(self, one: dict[str, Any], name: str) -> bool:
        checks = (self.has_room, self.tolerated, self.selected, self.ports_free, self.near_and_far, self.even)
        return all(check(one, name) for check in checks)

    def has_room(self, one: dict[str, Any], name: str) -> bool:
        offered, here = self.nodes[name]["status"]["allocatable"], self.on(name)
        used = sum((cpu_of(other) for other in here), start=Fraction(0))
        # Who asks for nothing fits even where a node has shrunk below what is used.
        enough = not cpu_of(one) or used + cpu_of(one) <= cpu(offered["cpu"])
        return len(here) < int(offered["pods"]) and enough

    def tolerated(self, one: dict[str, Any], name: str) -> bool:
        spec = self.nodes[name]["spec"]
        tolerated = {toleration["value"] for toleration in one["spec"].get("tolerations", [])}
        hard = [taint for taint in spec["taints"] if taint["effect"] != "PreferNoSchedule"]
        return not spec["unschedulable"] and all(taint["value"] in tolerated for taint in hard)

    def selected(self, one: dict[str, Any], name: str) -> bool:
        labels = self.nodes[name]["metadata"]["labels"]
        return all(labels.get(key) == value for key, value in one["spec"].get("nodeSelector", {}).items())

    def ports_free(self, one: dict[str, Any], name: str) -> bool:
        def ports(other: dict[str, Any]) -> set[int]:
            return {port["hostPort"] for port in other["spec"]["containers"][0]["ports"]}

        return not any(ports(one) & ports(other) for other in self.on(name))

    def domain(self, name: str, key: str) -> str | None:
        value: str | None = self.nodes[name]["metadata"]["labels"].get(key) if name in self.nodes else None
        return value

    def count(self, app: str, key: str, value: str | None) -> int:
        return sum(
            other["metadata"]["labels"].get("app") == app and self.domain(where, key) == value
            for other, where in self.where.values()
            if where in self.nodes and value is not None
        )

    def near_and_far(self, one: dict[str, Any], name: str) -> bool:
        app = one["metadata"]["labels"].get("app")
        for other, where in self.where.values():
            for wanted, key in terms(other, "podAntiAffinity"):
                domain = self.domain(where, key)
                if wanted == app and domain is not None and domain == self.domain(name, key):
                    return False
        if any(self.count(app_, key, self.domain(name, key)) for app_, key in terms(one, "podAntiAffinity")):
            return False
        wants = terms(one, "podAffinity")
        if any(self.domain(name, key) is None for _, key in wants):
            return False
        if all(self.count(app_, key, self.domain(name, key)) for app_, key in wants):
            return True
        nowhere = not any(
            other["metadata"]["labels"].get("app") == app_
            for app_, key in wants
            for other, where in self.where.values()
            if self.domain(where, key) is not None
        )
        return nowhere and all(app_ == app for app_, _ in wants)

    def even(self, one: dict[str, Any], name: str) -> bool:
        constraints = one["spec"].get("topologySpreadConstraints", [])
        keys = [constraint["topologyKey"] for constraint in constraints]
        if any(self.domain(name, key) is None for key in keys):
            return False
        for constraint in constraints:
            key, app = constraint["topologyKey"], constraint["labelSelector"]["matchLabels"]["app"]
            eligible = [
                other
                for other in self.nodes
                if all(self.domain(other, each) is not None for each in keys) and self.selected(one, other)
            ]
            counts = {self.domain(other, key): 0 for other in eligible}
            for placed, where in self.where.values():
                matches = placed["metadata"]["labels"].get("app") == app
                if where in eligible and matches:
                    counts[self.domain(where, key)] += 1
            lowest = min(counts.values(), default=0)
            own = one["metadata"]["labels"].get("app") == app
            if counts.get(self.domain(name, key), 0) + own - lowest > constraint["maxSkew"]:
                return False
        return True


def terms(one: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    part = one["spec"].get("affinity", {}).get(kind, {})
    return [
        (raw["labelSelector"]["matchLabels"]["app"], raw["topologyKey"])
        for raw in part.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    ]


# -- random clusters


def random_node(chance: random.Random, name: str) -> dict[str, Any]:
    labels = {ZONE: chance.choice("abc")} if chance.random() < 0.9 else {}
    if chance.random() < 0.5:
        labels["disk"] = "ssd"
    return node(
        name,
        cpu=chance.choice(["500m", "1", "2", "4"]),
        pods=chance.choice(["2", "5", "9"]),
        labels=labels,
        taints=chance.sample(TAINTS, chance.choice([0, 0, 1, 2])),
        unschedulable=chance.random() < 0.1,
    )


def random_pod(chance: random.Random, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"cpu": chance.choice(["", "100m", "250m", "1"])}
    app, key = f"app-{chance.randrange(3)}", chance.choice([HOST, ZONE])
    if chance.random() < 0.3:
        spec["tolerations"] = [{"key": "t", "value": chance.choice("xy")}]
    if chance.random() < 0.2:
        spec["nodeSelector"] = {"disk": "ssd"}
    if chance.random() < 0.15:
        spec["host_ports"] = [chance.choice([80, 443])]
    roll = chance.random()
    if roll < 0.25:
        spec["affinity"] = anti(app, key)
    elif roll < 0.45:
        spec["affinity"] = near(app, key)
    elif roll < 0.7:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": chance.choice([1, 2]),
                "topologyKey": each,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": app}},
            }
            for each in chance.choice([[HOST], [ZONE], [HOST, ZONE]])
        ]
    return pod(name, labels={"app": f"app-{chance.randrange(3)}"}, **spec)


def change(chance: random.Random, fast: Columns, naive: Naive) -> None:
    """Let something else happen in the cluster."""
    roll = chance.random()
    if roll < 0.3 and naive.where:
        uid = chance.choice(sorted(naive.where))
        fast.remove_pod(uid)
        del naive.where[uid]
    elif roll < 0.5:
        made = random_node(chance, f"n{chance.randrange(24)}")
        fast.set_node(made)
        naive.nodes[made["metadata"]["name"]] = made
    elif roll < 0.55 and len(naive.nodes) > 3:
        name = chance.choice(sorted(naive.nodes))
        fast.remove_node(name)
        del naive.nodes[name]


def check_capacity(fast: Columns, naive: Naive) -> None:
    for name, row in fast.rows.items():
        assert fast.used[PODS_COLUMN, row] == len(naive.on(name))


@pytest.mark.parametrize("seed", range(25))
def test_filters_equal_a_plain_loop_and_never_over_commit(seed: int) -> None:
    chance = random.Random(seed)
    fast, naive, profile = columns(), Naive(), default_profile()
    for index in range(10):
        made = random_node(chance, f"n{index}")
        fast.set_node(made)
        naive.nodes[made["metadata"]["name"]] = made
    for step in range(60):
        change(chance, fast, naive)
        raw = random_pod(chance, f"p{step}")
        info = pod_info(raw)
        expected = naive.feasible(raw)
        feasible, _ = run_filters(info, fast, profile)
        assert {fast.names[row] for row in np.flatnonzero(feasible)} == expected, (seed, step)
        for name, row in fast.rows.items():
            assert (not reasons_against(info, fast, profile, row)) is (name in expected)
        decision = decide(info, fast, profile, turn=step)
        assert decision.node in expected if expected else not decision.node
        if decision.node:
            fast.add_pod(info, decision.node)
            naive.where[info.uid] = (raw, decision.node)
        else:
            counted = sum(int(one.rows.sum()) for one in decision.excluded)
            assert counted == len(naive.nodes)
            assert decision.message().startswith(f"0/{len(naive.nodes)} nodes are available: ")
    check_capacity(fast, naive)


@pytest.mark.parametrize("seed", range(5))
def test_scores_do_not_depend_on_what_was_asked_before(seed: int) -> None:
    chance = random.Random(seed)
    naive, kept = Naive(), default_profile()
    fast = columns(*(random_node(chance, f"n{index}") for index in range(20)))
    infos: list[PodInfo] = []
    for step in range(40):
        change(chance, fast, naive)
        info = pod_info(random_pod(chance, f"p{step}"))
        infos.append(info)
        fresh = decide(info, fast, default_profile(), turn=step)
        assert decide(info, fast, kept, turn=step).node == fresh.node
        if fresh.node:
            fast.add_pod(info, fresh.node)


JUDGEMENTS = (
    Judgement(),
    Judgement(Strategy(MOST, (("cpu", 3), ("memory", 1), ("pods", 2)))),
    Judgement(Strategy(RATIO, (("cpu", 1), ("memory", 5)), ((0, 0), (40, 10), (100, 3)))),
    Judgement(balanced=("cpu", "memory", "ephemeral-storage", "pods")),
    Judgement(balanced=("cpu",), ignored_groups=frozenset({"example.com"})),
)


@pytest.mark.parametrize("seed", range(5))
def test_renewed_demands_equal_fresh_ones(seed: int) -> None:
    judgement = JUDGEMENTS[seed]
    chance = random.Random(seed)
    naive, fast = Naive(), columns(*(random_node(chance, f"n{index}") for index in range(30)))
    info = pod_info(pod("asks", cpu="250m", memory="100Mi"))
    kept = Demands(judgement)
    for step in range(60):
        for _ in range(chance.choice([1, 1, 3, 12])):
            change(chance, fast, naive)
            other = pod_info(random_pod(chance, f"p{step}"))
            fast.add_pod(other, f"n{chance.randrange(30)}")
        renewed, fresh = kept.of(info, fast), Demands(judgement).of(info, fast)
        for column in ("fits", "hopeless", "preferred", "balanced"):
            assert np.array_equal(getattr(renewed, column), getattr(fresh, column)), column
