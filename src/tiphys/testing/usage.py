"""What pods on simulated nodes use: as their annotations say, in the form of a kubelet's resource metrics.

``tiphys.dev/cpu-usage: 250m`` is every container's; ``web=250m,sidecar=10m`` tells them apart. Without the
annotation a container uses what it requests, or next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object

CPU_USAGE = "tiphys.dev/cpu-usage"
MEMORY_USAGE = "tiphys.dev/memory-usage"
_DEFAULTS = {"cpu": "1m", "memory": "16Mi"}


def wanted(pod: Object, container: Object, resource: str) -> quantity.Quantity:
    """Return how much a container uses now."""
    annotation = CPU_USAGE if resource == "cpu" else MEMORY_USAGE
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    if "=" in text:
        named = dict(part.split("=", 1) for part in text.split(","))
        text = named.get(container["name"], "")
    requests = (container.get("resources") or {}).get("requests") or {}
    return quantity.parse(text or requests.get(resource) or _DEFAULTS[resource])


class Meters:
    """CPU time goes on from one reading to the next, whatever the rate was meanwhile."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], tuple[float, float]] = {}

    def read(self, pods: Iterable[Object], now_s: float) -> str:
        """Return the text of one node's ``/metrics/resource``."""
        stamp = int(now_s * 1000)
        lines, node_cpu, node_memory = [], 0.0, 0
        for pod in pods:
            meta = pod["metadata"]
            for container in pod["spec"]["containers"]:
                rate = float(wanted(pod, container, "cpu").amount)
                memory = wanted(pod, container, "memory").value()
                spent = self._spend((meta["uid"], container["name"]), rate, now_s)
                labels = (
                    f'container="{container["name"]}",namespace="{meta["namespace"]}",pod="{meta["name"]}"'
                )
                lines.append(f"container_cpu_usage_seconds_total{{{labels}}} {spent:.9f} {stamp}")
                lines.append(f"container_memory_working_set_bytes{{{labels}}} {memory} {stamp}")
                node_cpu += rate
                node_memory += memory
        spent = self._spend(("", ""), node_cpu, now_s)
        lines.append(f"node_cpu_usage_seconds_total {spent:.9f} {stamp}")
        lines.append(f"node_memory_working_set_bytes {node_memory} {stamp}")
        return "\n".join(lines) + "\n"

    def _spend(self, key: tuple[str, str], rate: float, now_s: float) -> float:
        spent, since = self._spent.get(key, (0.0, now_s))
        spent += rate * max(now_s - since, 0.0)
        self._spent[key] = (spent, now_s)
        return spent
