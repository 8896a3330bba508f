"""Scores from kept sums equal scores counted anew from the pods, whatever happened before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_builders import columns, node, pod, term

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import ScorePlugin, Scores, decide, normalize
from tiphys.scheduler.plugins.topology import InterPodAffinity, PodTopologySpread
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile

HOST, ZONE = "kubernetes.io/hostname", "zone"
APPS = ("a", "b", "c")
NODES = 12

apps = st.sampled_from(APPS)
keys = st.sampled_from((HOST, ZONE))
wishes = st.lists(
    st.tuples(st.sampled_from(("podAffinity", "podAntiAffinity")), apps, keys, st.integers(1, 100))
)
pods = st.builds(lambda app, wish, must: (app, wish, must), apps, wishes, st.none() | st.tuples(apps, keys))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), pods, st.integers(0, NODES - 1)),
        st.tuples(st.just("remove"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("node"), st.integers(0, NODES - 1), st.sampled_from((None, "x", "y", "z"))),
    ),
    max_size=40,
)


def made_pod(name: str, said: tuple[str, list[tuple[str, str, str, int]], tuple[str, str] | None]) -> PodInfo:
    app, wish, must = said
    affinity: dict[str, Any] = {}
    for kind, other, key, weight in wish:
        part = affinity.setdefault(kind, {}).setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
        part.append({"weight": weight, "podAffinityTerm": term(other, key)})
    if must is not None:
        part = affinity.setdefault("podAffinity", {})
        part["requiredDuringSchedulingIgnoredDuringExecution"] = [term(*must)]
    return pod_info(pod(name, labels={"app": app}, affinity=affinity))


def made_node(index: int, zone: str | None) -> dict[str, Any]:
    made: dict[str, Any] = node(f"n{index}", labels={ZONE: zone} if zone else {})
    return made


def counted(info: PodInfo, cluster: Columns, feasible: list[int]) -> dict[int, int]:
    """Ask every placed pod about every node."""

    def label(name: str, key: str) -> str | None:
        found: str | None = cluster.nodes[cluster.rows[name]]["metadata"]["labels"].get(key)  # type: ignore[index]
        return found

    raw = dict.fromkeys(feasible, 0)
    for row in feasible:
        for other, where in cluster.placed.values():
            spoken = [(one.weight, one, info, other) for one in info.preferred]
            spoken += [(one.weight, one, other, info) for one in other.preferred]
            spoken += [(1, one, other, info) for one in other.affinity]
            for weight, one, _, subject in spoken:
                here, there = label(cluster.names[row], one.topology_key), label(where, one.topology_key)
                if here is not None and here == there and one.selector.matches(subject.labels):
                    raw[row] += weight
    return raw


def run(cluster: Columns, script: list[Any], asked: PodInfo, plugin: ScorePlugin) -> None:
    for index, (what, first, second) in enumerate(script):
        if what == "add":
            cluster.add_pod(made_pod(f"p{index}", first), f"n{second}")
        elif what == "remove" and cluster.placed:
            cluster.remove_pod(list(cluster.placed)[first % len(cluster.placed)])
        elif what == "node":
            cluster.set_node(made_node(first, second))
        plugin.score(asked, cluster, cluster.alive)  # what is kept must hold through every step


@settings(max_examples=25)
@given(script=steps, said=pods, left_out=st.sets(st.integers(0, NODES - 1), max_size=NODES - 1))
def test_affinity_scores_equal_a_count_from_scratch(
    script: list[Any], said: tuple[str, list[tuple[str, str, str, int]], None], left_out: set[int]
) -> None:
    cluster = columns(*(made_node(index, ("x", "y", None)[index % 3]) for index in range(NODES)))
    info, plugin = made_pod("asks", said), InterPodAffinity()
    run(cluster, script, info, plugin)
    feasible = cluster.alive.copy()
    for index in left_out:
        feasible[cluster.rows[f"n{index}"]] = False
    rows = [int(row) for row in np.flatnonzero(feasible)]
    raw = counted(info, cluster, rows)
    scores = plugin.score(info, cluster, feasible)
    low, high = min(raw.values()), max(raw.values())
    if scores is None:
        assert low == high
        return
    for row in rows:
        assert scores[row] == math.floor(100 * ((raw[row] - low) / (high - low)))


def test_affinity_scores_are_rounded_as_upstream_rounds_them() -> None:
    """29 of 50 are 0.58, of which a hundred are a little less than 58 in binary fractions."""
    cluster = columns(*(node(f"n{index}") for index in range(3)))
    cluster.add_pod(made_pod("p0", ("a", [], None)), "n0")
    cluster.add_pod(made_pod("p1", ("b", [], None)), "n1")
    info = made_pod("asks", ("c", [("podAffinity", "a", HOST, 29), ("podAffinity", "b", HOST, 50)], None))
    scores = InterPodAffinity().score(info, cluster, cluster.alive)
    assert scores is not None
    assert [int(scores[cluster.rows[f"n{index}"]]) for index in range(3)] == [57, 100, 0]


@pytest.mark.parametrize(("most", "raw", "score"), [(97, 97, 100), (50, 29, 58), (3, 2, 66), (0, 0, 0)])
def test_scores_of_whole_numbers_are_whole_parts_of_a_hundred(most: int, raw: int, score: int) -> None:
    numbers = np.array([most, raw], dtype=np.float64)
    everywhere = np.ones(2, dtype=np.bool_)
    assert normalize(numbers, everywhere)[1] == score
    assert normalize(numbers, everywhere, reverse=True)[1] == 100 - score


spreads = st.lists(st.tuples(apps, keys, st.integers(1, 5)), min_size=1, max_size=3)


def spread_pod(said: list[tuple[str, str, int]]) -> PodInfo:
    constraints = [
        {**term(app, key), "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"} for app, key, skew in said
    ]
    return pod_info(pod("asks", topologySpreadConstraints=constraints))


@settings(max_examples=25)
@given(script=steps, said=spreads, left_out=st.sets(st.integers(0, NODES - 1), max_size=NODES - 1))
def test_spread_scores_equal_a_count_from_scratch(
    script: list[Any], said: list[tuple[str, str, int]], left_out: set[int]
) -> None:
    cluster = columns(*(made_node(index, ("x", "y", None)[index % 3]) for index in range(NODES)))
    info, plugin = spread_pod(said), PodTopologySpread()
    run(cluster, script, info, plugin)
    feasible = cluster.alive.copy()
    for index in left_out:
        feasible[cluster.rows[f"n{index}"]] = False

    def labels(row: int) -> dict[str, str]:
        return dict((cluster.nodes[row] or {})["metadata"]["labels"])

    rows = [int(row) for row in np.flatnonzero(feasible)]
    rows = [row for row in rows if all(key in labels(row) for _, key, _ in said)]
    scores = plugin.score(info, cluster, feasible)
    if not rows:
        assert scores is None
        return
    raw = {}
    for row in rows:
        total = 0.0
        for app, key, skew in said:
            domains = {labels(other)[key] for other in rows}
            near = sum(
                other.labels["app"] == app and labels(cluster.rows[where]).get(key) == labels(row)[key]
                for other, where in cluster.placed.values()
            )
            total += near * math.log(len(domains) + 2) + skew - 1
        raw[row] = math.floor(total + 0.5)
    low, high = min(raw.values()), max(raw.values())
    assert scores is not None
    for row in rows:
        assert scores[row] == (100 if high == 0 else 100 * (high + low - raw[row]) // high)
    for name, row in cluster.rows.items():
        if any(key not in labels(row) for _, key, _ in said):
            assert scores[row] == 0, name


class Ranks:
    """A score plugin of given numbers, None for none."""

    name = "Ranks"

    def __init__(self, numbers: list[int] | None) -> None:
        self.numbers = numbers

    def score(self, info: PodInfo, columns: Columns, feasible: Any) -> Scores | None:
        if self.numbers is None:
            return None
        scores = np.zeros(len(columns.names))
        for index, number in enumerate(self.numbers):
            scores[columns.rows[f"n{index}"]] = number
        return scores


numbers = st.none() | st.lists(st.integers(0, 100), min_size=NODES, max_size=NODES)


@settings(max_examples=25)
@given(
    first=numbers,
    second=numbers,
    weight=st.integers(1, 5),
    turn=st.integers(0, 50),
    cordoned=st.sets(st.integers(0, NODES - 1)),
)
def test_the_choice_is_among_the_best_and_equal_ones_take_turns(
    first: list[int] | None, second: list[int] | None, weight: int, turn: int, cordoned: set[int]
) -> None:
    cluster = columns(*(node(f"n{index}", unschedulable=index in cordoned) for index in range(NODES)))
    usual = default_profile()
    profile = type(usual)(usual.filters, ((Ranks(first), 1), (Ranks(second), weight)))
    zeros = [0] * NODES
    total = {
        f"n{index}": (first or zeros)[index] + weight * (second or zeros)[index]
        for index in range(NODES)
        if index not in cordoned
    }
    best = sorted((one for one in total if total[one] == max(total.values())), key=cluster.rows.__getitem__)
    chosen = decide(pod_info(pod("asks")), cluster, profile, turn=turn).node
    assert chosen == (best[turn % len(best)] if best else "")
