"""Every family that upstream's components have and that can move here is there, whatever it counts."""

from __future__ import annotations

from pathlib import Path

from tiphys.client.metrics import REGISTRY
from tiphys.client.transport import Call
from tiphys.controllers import metrics as _controllers
from tiphys.kubelet import counts as _kubelet
from tiphys.proxy import metrics as _proxy
from tiphys.scheduler import metrics as _scheduler
from tiphys.testing import Cluster

LISTED = (Path(__file__).parent / "upstream_families.txt").read_text().splitlines()
EVERY, SERVER = "every component", "kube-apiserver"
REGISTRIES = {
    "kube-controller-manager": _controllers.REGISTRY,
    "kube-proxy": _proxy.REGISTRY,
    "kube-scheduler": _scheduler.REGISTRY,
    "kubelet": _kubelet.REGISTRY,
}


def wanted() -> dict[str, set[str]]:
    """Return the names by component, without those that have a reason not to be there."""
    found: dict[str, set[str]] = {}
    names: set[str] = set()
    for line in LISTED[1:]:
        if line.startswith("# "):
            names = found[line.removeprefix("# ")] = set()
        elif "|" not in line:
            names.add(line)
    return found


async def test_families() -> None:
    async with Cluster(nodes=1) as cluster:
        server = (await cluster.client.send(Call("GET", "/metrics"))).body.decode()
        assert "# TYPE rest_client_transport_cache_entries gauge\n" in server
        shown = {SERVER: list(cluster.server.backend.metrics.collect()), EVERY: list(REGISTRY.collect())}
        missing = {}
        for component, names in wanted().items():
            families = shown[component] if component in shown else REGISTRIES[component].collect()
            missing[component] = names - {family.name + family.ending for family in families}
    assert missing == {component: set() for component in wanted()}
    (followed,) = (one for one in shown[EVERY] if one.name == "informer_processing_latency_seconds")
    names = {sample.labels["name"] for sample in followed.samples}
    assert "kube-controller-manager" in names


def test_what_is_not_there_has_a_reason() -> None:
    """Outside of the kubelet, whose families are still to come."""
    vague: dict[str, list[str]] = {}
    component = ""
    for line in LISTED[1:]:
        if line.startswith("# "):
            component = line.removeprefix("# ")
        elif line.endswith("| not counted"):
            vague.setdefault(component, []).append(line)
    assert vague.keys() <= {"kubelet"}
