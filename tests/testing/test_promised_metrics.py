"""What upstream promises of its metrics (stable and beta): names, types, labels and buckets.

Those of the kubelet, of stores, of files that are read again and of metrics themselves have tests.
Of histograms that have counted nothing the buckets are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tiphys.apimachinery.families import Metric
from tiphys.client.kinds import JOBS
from tiphys.client.metrics import REGISTRY, registry_of
from tiphys.scheduler.pod_resources import families as pod_resources
from tiphys.testing import Cluster

PROMISED = [
    tuple(part.strip() for part in line.split("|"))
    for line in (Path(__file__).parent / "promised_metrics.txt").read_text().splitlines()[1:]
]
STABILITY = re.compile(r"\[(BETA|STABLE)\] .")


def buckets_of(family: Metric) -> str:
    """Return the bounds of a histogram that has counted something."""
    first = next(iter(family.samples), None)
    if first is None:
        return ""
    own = {key: value for key, value in first.labels.items() if key != "le"}
    bounds = [
        one.labels["le"] for one in family.samples if "le" in one.labels and own.items() <= one.labels.items()
    ]
    return " ".join(f"{float(bound):.10g}" for bound in bounds if bound != "+Inf")


def by_name(families: Iterable[Metric]) -> dict[str, Metric]:
    return {family.name: family for family in families}


async def counted() -> dict[str, Metric]:
    """Return what a cluster counts that has run a pod of a Job."""
    async with Cluster(nodes=1) as cluster:
        container = {"name": "c", "image": "i"}
        spec = {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}
        await cluster.client.create(JOBS, {"metadata": {"name": "j", "namespace": "default"}, "spec": spec})
        await cluster.wait_for(JOBS, "j", "default", lambda job: bool(job and job["status"].get("active")))
        server = cluster.server.backend.metrics.collect()
        parts = [REGISTRY, *map(registry_of, ("kube-controller-manager", "kube-scheduler"))]
        own = [family for part in parts for family in part.collect()]
        return by_name([*own, *server, *pod_resources([])])


async def test_promised_families() -> None:
    found = await counted()
    missing = [name for name, *_ in PROMISED if name not in found]
    assert not missing
    faults = []
    for name, kind, labels, buckets in PROMISED:
        family = found[name]
        own = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        if family.type != kind or (own and own != sorted(labels.split())):
            faults.append((name, family.type, own))
        if (shown := buckets_of(family)) and buckets and shown != buckets:
            faults.append((name, "buckets", shown))
        if not STABILITY.match(family.documentation):
            faults.append((name, "stability", family.documentation))
    assert faults == []
