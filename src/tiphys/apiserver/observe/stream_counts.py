"""How streams to kubelets went, with upstream's metric names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.families import CounterMetricFamily, Metric

ENFORCED: Final = "enforce_tls"
SKIPPED: Final = "skip_tls_allowed"
DIRECT: Final = "proxied_to_kubelet"
TRANSLATED: Final = "translated_at_apiserver"


class StreamCounts:
    """One server's."""

    def __init__(self) -> None:
        self.logs: Counter[str] = Counter()
        """Requests for logs, by whether the kubelet's certificate counts."""
        self.untrusted = 0
        """Requests for logs of kubelets whose certificate was not believed."""
        self.translated: Counter[int] = Counter()
        """Commands whose websocket was translated to SPDY, by how they ended."""
        self.tunneled: Counter[int] = Counter()
        """Forwarded ports whose SPDY came in a websocket, by the kubelet's answer."""
        self.routed: Counter[tuple[str, str]] = Counter()
        """Streams by subresource, and by who would speak SPDY for a newer client."""

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        logs = CounterMetricFamily(
            "kube_apiserver_pod_logs_insecure_backend",
            "[ALPHA] Total number of requests for pods/logs sliced by usage type: enforce_tls, "
            "skip_tls_allowed, skip_tls_denied",
            labels=["usage"],
        )
        logs.add_all(self.logs)
        yield logs
        yield CounterMetricFamily(
            "kube_apiserver_pod_logs_backend_tls_failure",
            "[ALPHA] Total number of requests for pods/logs that failed due to kubelet server TLS "
            "verification",
            value=self.untrusted,
        )
        for name, what, counts in (
            (
                "translator",
                "TranslatorProxy, which processes streaming RemoteCommand/V5",
                self.translated,
            ),
            ("tunnel", "TunnelProxy, which processes streaming PortForward/V2", self.tunneled),
        ):
            family = CounterMetricFamily(
                f"apiserver_stream_{name}_requests",
                f"[ALPHA] Total number of requests that were handled by the Stream{what}",
                labels=["code"],
            )
            for code, count in counts.items():
                family.add_metric([str(code)], count)
            yield family
        routed = CounterMetricFamily(
            "apiserver_websocket_streaming_requests",
            "[ALPHA] Total number of WebSocket streaming requests (exec/attach/portforward) routed by the "
            "API server, labeled by subresource and proxy_type. proxy_type is proxied_to_kubelet when the "
            "kubelet handles the request directly; otherwise translated_at_apiserver.",
            labels=["subresource", "proxy_type"],
        )
        for key, count in self.routed.items():
            routed.add_metric(list(key), count)
        yield routed
