"""What ``/metrics`` of a kubelet says of its pods, with upstream's names. Counted when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.runtime import RuntimePod

_STATIC = "kubernetes.io/config.source"
_ENDED = ("Succeeded", "Failed")


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
        yield from _of_pods(self._pods())
        yield name
        yield GaugeMetricFamily("kubelet_running_pods", "Pods with a running sandbox.", running)
        yield containers
        received = CounterMetricFamily(
            "kubelet_websocket_streaming_requests",
            "[ALPHA] Total number of WebSocket streaming requests (exec/attach/portforward) received by the "
            "kubelet.",
            labels=["subresource"],
        )
        received.add_all(self._websockets)
        yield received


def _of_pods(pods: Sequence[Object]) -> Iterator[Metric]:
    """Yield what is told of the pods that a node is to run."""
    active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]
    yield _by_source("desired_pods", "The number of pods the kubelet is being instructed to run.", pods)
    yield _by_source(
        "active_pods",
        "The number of pods the kubelet considers active and which are being considered when admitting new "
        "pods.", active,
    )  # fmt: skip
    yield GaugeMetricFamily(
        "kubelet_mirror_pods",
        "[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)",
        value=sum(map(_is_static, pods)),
    )
    yield GaugeMetricFamily(
        "kubelet_managed_ephemeral_containers",
        "[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.",
        value=sum(len(pod["spec"].get("ephemeralContainers") or ()) for pod in pods),
    )


def _by_source(name: str, text: str, pods: Sequence[Object]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        f"kubelet_{name}", f"[ALPHA] {text} static is true if the pod is not from the apiserver.",
        labels=["static"],
    )  # fmt: skip
    static = sum(map(_is_static, pods))
    family.add_metric(["true"], static)
    family.add_metric([""], len(pods) - static)
    return family


def _is_static(pod: Object) -> bool:
    return bool((pod["metadata"].get("annotations") or {}).get(_STATIC, "api") != "api")
