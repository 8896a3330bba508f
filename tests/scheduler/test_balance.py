"""NodeResourcesBalancedAllocation: how much more evenly a node would be used with the pod than without."""

from __future__ import annotations

import numpy as np
import pytest
from scheduler_builders import columns, node

from tiphys.apimachinery.dataclass import dataclass
from tiphys.scheduler.plugins.demand import Demands, Judgement
from tiphys.scheduler.plugins.resources import BalancedAllocation
from tiphys.scheduler.podinfo import PodInfo, pod_info

GPU = "nvidia.com/gpu"
CPU = {"cpu": "3", "memory": "0"}
BOTH = {"cpu": "3", "memory": "5k"}
WITH_GPU = {**BOTH, GPU: "3"}
THREE = ("cpu", "memory", GPU)


def asking(requests: dict[str, str]) -> PodInfo:
    container = {"name": "c", "image": "web:1", "resources": {"requests": requests}}
    name = f"asks-{len(requests)}-{id(container)}"
    metadata = {"name": name, "namespace": "default", "uid": name}
    return pod_info({"metadata": metadata, "spec": {"containers": [container]}})


@dataclass(frozen=True)
class Case:
    """Two nodes' cpu and memory, what runs on each, what the pod asks for, and the score of each."""

    asks: dict[str, str]
    sizes: tuple[tuple[str, str], tuple[str, str]]
    scores: tuple[int, int]
    placed: tuple[tuple[dict[str, str], ...], tuple[dict[str, str], ...]] = ((), ())
    resources: tuple[str, ...] = ("cpu", "memory")
    gpus: tuple[str, str] = ("", "")


CASES = {
    # 3/4 and 1/2 are judged 87, after an empty node's 100; the second stays at 100.
    "nothing runs, nodes of different size": Case(BOTH, (("4", "10k"), ("6", "10k")), (68, 75)),
    # 85 turns into 82: 60% and 25% after 30% and none; and 97 into 95: 60% and 50% after 30% and 25%.
    "pods run": Case(BOTH, (("10", "20k"), ("10", "20k")), (73, 74), ((CPU,), (BOTH,))),
    # The second: 60% and 20% are judged 80, after 30% and 10%, judged 90.
    "pods run, nodes of different size": Case(
        BOTH, (("10", "20k"), ("10", "50k")), (73, 70), ((CPU,), (BOTH,))
    ),
    # All and none are judged 50, after 1/2 and none: 75; all and 1/2: 75, after 1/2 twice: 100.
    "as much as there is": Case(CPU, (("6", "10k"), ("6", "10k")), (62, 62), ((CPU,), (BOTH,))),
    # More than all counts as all: 50 after 62, and 75 after 87.
    "more than there is": Case(CPU, (("4", "10k"), ("4", "10k")), (69, 69), ((CPU,), (BOTH,))),
    # With 86% and 12.5%, of devices 50% after 37.5%: 70 after 69; and 12.5% after none: 65 after 62.
    "devices": Case(
        {"memory": "0", GPU: "1"}, (("3500m", "40k"), ("3500m", "40k")), (75, 76),
        ((WITH_GPU,), (BOTH,)), THREE, ("8", "8"),
    ),
    "devices that the pod does not ask for": Case(
        BOTH, (("3500m", "40k"), ("3500m", "40k")), (56, 56), resources=THREE, gpus=("8", "")
    ),
    "balance is made": Case(
        {"memory": "10k"}, (("6", "10k"), ("6", "10k")), (100, 75), (({"cpu": "6"},), (CPU,))
    ),
    "balance is lost": Case({"memory": "10k"}, (("6", "10k"), ("0", "10k")), (50, 75)),
    "one of them is not there": Case(CPU, (("6", "0"), ("6", "10k")), (75, 62), ((CPU,), (CPU,))),
    "nothing is there": Case(CPU, (("0", "0"), ("0", "0")), (75, 75)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("rowwise", [False, True])
def test_scores(case: Case, rowwise: bool) -> None:
    nodes = [
        node(name, cpu=cpu, memory=memory, extended={GPU: gpus} if gpus else {})
        for name, (cpu, memory), gpus in zip("ab", case.sizes, case.gpus, strict=True)
    ]
    cluster = columns(*nodes)
    plugin = BalancedAllocation(Demands(Judgement(balanced=case.resources)))
    asks = asking(case.asks)
    if rowwise:  # known before its rows change: each is judged by itself
        plugin.score(asks, cluster, cluster.alive)
    for name, running in zip("ab", case.placed, strict=True):
        for requests in running:
            cluster.add_pod(asking(requests), name)
    scores = plugin.score(asks, cluster, cluster.alive)
    assert scores is not None
    assert np.array_equal(scores[[cluster.rows["a"], cluster.rows["b"]]], case.scores)


def test_pods_that_ask_for_nothing_are_left_alone() -> None:
    cluster = columns(node("a"))
    assert BalancedAllocation().score(asking({}), cluster, cluster.alive) is None
