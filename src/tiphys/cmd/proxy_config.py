"""The proxy's configuration file: which flag each field of ``KubeProxyConfiguration`` is. Data.

Source: kubeproxy.config.k8s.io/v1alpha1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.cmd.config_document import Kind, comma_list, load, pairs, parameters

KIND: Final = Kind(
    "kubeproxy.config.k8s.io/v1alpha1",
    "KubeProxyConfiguration",
    {
        "clientConnection.kubeconfig": "kubeconfig",
        "hostnameOverride": "node_name",
        "healthzBindAddress": "healthz_bind_address",
        "metricsBindAddress": "metrics_bind_address",
        "clusterCIDR": "cluster_cidr",
        "nodePortAddresses": ("nodeport_addresses", comma_list),
        "mode": "proxy_mode",
        "featureGates": ("feature_gates", pairs()),
    },
    frozenset(
        {"clientConnection", "logging", "bindAddress", "bindAddressHardFail"}
        | {"enableProfiling", "showHiddenMetricsForVersion", "iptables", "ipvs", "nftables", "winkernel"}
        | {"detectLocalMode", "detectLocal", "oomScoreAdj", "conntrack", "configSyncPeriod", "portRange"}
        | {"windowsRunAsService"}
    ),
    lenient=True,
    usual={
        "bindAddress": "0.0.0.0",
        "bindAddressHardFail": False,
        "enableProfiling": False,
        "iptables.masqueradeAll": False,
        "nftables.masqueradeAll": False,
        "ipvs.strictARP": False,
        "conntrack.tcpBeLiberal": False,
        "winkernel.enableDSR": False,
        "winkernel.forwardHealthCheckVip": False,
    },
)


def read(path: str) -> Mapping[str, Any]:
    """Return the parameters that a file sets. Raises click.FileError, click.UsageError."""
    return parameters(load(path), KIND)
