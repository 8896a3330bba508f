"""What ``/metrics`` of a kubelet says of its pods, with upstream's names. Counted when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.runtime import RuntimePod

_STATIC = "kubernetes.io/config.source"


class NodeMetrics:
    """What one node has: ``pods`` it is to run, ``runtime`` says what runs.

    ``websockets`` are counted by what they were for.
    """

    def __init__(
        self,
        node: str,
        pods: Callable[[], Sequence[Object]],
        runtime: Callable[[], Iterable[RuntimePod]],
        websockets: Mapping[str, int],
    ) -> None:
        self._node = node
        self._pods = pods
        self._runtime = runtime
        self._websockets = websockets

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges as they stand."""
        found = list(self._runtime())
        name = GaugeMetricFamily("kubelet_node_name", "The node's name.", labels=["node"])
        name.add_metric([self._node], 1)
        running = sum(any(sandbox.ready for sandbox in pod.sandboxes) for pod in found)
        states = Counter(one.state.name.lower() for pod in found for one in pod.containers)
        containers = GaugeMetricFamily(
            "kubelet_running_containers", "Containers by state.", labels=["container_state"]
        )
        for state, count in sorted(states.items()):
            containers.add_metric([state], count)
        static = sum(_is_static(pod) for pod in self._pods())
        desired = GaugeMetricFamily("kubelet_desired_pods", "Pods that shall run here.", labels=["static"])
        desired.add_metric(["true"], static)
        desired.add_metric([""], len(self._pods()) - static)
        yield name
        yield GaugeMetricFamily("kubelet_running_pods", "Pods with a running sandbox.", running)
        yield containers
        yield desired
        received = CounterMetricFamily(
            "kubelet_websocket_streaming_requests",
            "[ALPHA] Total number of WebSocket streaming requests (exec/attach/portforward) received by the "
            "kubelet.",
            labels=["subresource"],
        )
        for purpose, count in self._websockets.items():
            received.add_metric([purpose], count)
        yield received


def _is_static(pod: Object) -> bool:
    return bool((pod["metadata"].get("annotations") or {}).get(_STATIC, "api") != "api")
