"""``/configz``: what this proxy works with, in the words of ``KubeProxyConfiguration``. Pure.

Shows what the proxy honours and nothing else: a field that is not there has no effect here.
"""

from __future__ import annotations

from typing import Any

GROUP = "kubeproxy.config.k8s.io"


def configuration(
    node_name: str, ranges: tuple[str, ...], nodeports: tuple[str, ...], healthz: str, metrics: str
) -> dict[str, Any]:
    """Return the document that clients read under the API group."""
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": f"{GROUP}/v1alpha1",
        "mode": "nftables",
        "hostnameOverride": node_name,
        "clusterCIDR": ",".join(ranges),
        "nodePortAddresses": list(nodeports) or None,
        "healthzBindAddress": healthz,
        "metricsBindAddress": metrics,
    }
