"""How many pods a second the scheduler decides on, without API server: decide, then count the pod as placed.

    python -m bench.schedule [case ...]

Prints one JSON line a case. ``read`` is the rate of reading pods into PodInfos, which is not part of the
decision (it happens when the watch delivers a pod). The ``_us`` figures are processor time a pod.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Any

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import decide
from tiphys.scheduler.podinfo import pod_info
from tiphys.scheduler.profile import default_profile

_ZONES = 5
_GROUPS = 20
_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


@dataclasses.dataclass(frozen=True)
class Case:
    """One row: so many nodes and pods, and what the pods ask besides resources."""

    nodes: int
    pods: int
    asks: str = "resources"


CASES = {
    "1000-nodes": Case(1000, 5000),
    "5000-nodes": Case(5000, 10000),
    "5000-nodes-anti-affinity": Case(5000, 5000, "anti-affinity"),
    "5000-nodes-affinity": Case(5000, 5000, "affinity"),
    "5000-nodes-spread": Case(5000, 5000, "spread"),
    "1000-nodes-full": Case(1000, 2000, "too-much"),
}


def node(index: int) -> dict[str, Any]:
    """Return a node of 32 CPUs in one of the zones."""
    name = f"node-{index}"
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {_HOST: name, _ZONE: f"zone-{index % _ZONES}", "kubernetes.io/os": "linux"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": amounts, "images": [{"names": ["registry/base:1"], "sizeBytes": 10**8}]},
    }


def pod(index: int, case: Case) -> dict[str, Any]:
    """Return a pod of one of the groups."""
    group = f"group-{index % _GROUPS}"
    cpu = "64" if case.asks == "too-much" else "100m"
    container = {
        "name": "c",
        "image": "registry/web:1",
        "resources": {"requests": {"cpu": cpu, "memory": "200Mi"}},
    }
    spec: dict[str, Any] = {"containers": [container], **_asks(case, group, index)}
    meta = {"name": f"pod-{index}", "namespace": "bench", "uid": str(index), "labels": {"group": group}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _asks(case: Case, group: str, index: int) -> dict[str, Any]:
    selector = {"matchLabels": {"group": group}}
    if case.asks == "anti-affinity":
        term = {"labelSelector": selector, "topologyKey": _HOST}
        return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    if case.asks == "affinity":
        term = {"labelSelector": selector, "topologyKey": _ZONE}
        return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    if case.asks == "spread":
        constraint = {
            "maxSkew": 1,
            "topologyKey": _ZONE,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector,
        }
        return {"topologySpreadConstraints": [constraint]}
    return {}


def measure(name: str, case: Case) -> dict[str, Any]:
    """Decide on every pod of the case once."""
    columns, profile = Columns(), default_profile()
    for index in range(case.nodes):
        columns.set_node(node(index))
    raw = [pod(index, case) for index in range(case.pods)]
    begun, spent = time.perf_counter(), time.process_time()
    infos = [pod_info(one) for one in raw]
    read_s, read_spent_s = time.perf_counter() - begun, time.process_time() - spent
    placed = 0
    begun, spent = time.perf_counter(), time.process_time()
    for turn, info in enumerate(infos):
        decision = decide(info, columns, profile, turn=turn)
        if decision.node:
            columns.add_pod(info, decision.node)
            placed += 1
    took_s, spent_s = time.perf_counter() - begun, time.process_time() - spent
    return {
        "bench": "schedule",
        "case": name,
        **dataclasses.asdict(case),
        "placed": placed,
        "decisions_per_s": round(case.pods / took_s),
        "read_per_s": round(case.pods / read_s),
        "decision_us": round(spent_s / case.pods * 1e6, 1),
        "read_us": round(read_spent_s / case.pods * 1e6, 1),
    }


def main() -> None:
    for name in sys.argv[1:] or list(CASES):
        print(json.dumps(measure(name, CASES[name])), flush=True)


if __name__ == "__main__":
    main()
