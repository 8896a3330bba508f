"""``/configz``: the settings that this kubelet works with, in the words of ``KubeletConfiguration``. Pure.

Shows what the kubelet honours and nothing else: a field that is not there has no effect here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery.duration import go_duration
from tiphys.kubelet.eviction.plan import Threshold
from tiphys.kubelet.options import KubeletOptions, ServerOptions


def configuration(options: KubeletOptions) -> dict[str, Any]:
    """Return the document that clients read under ``kubeletconfig``."""
    hard = [one for one in options.thresholds if one.grace_s is None]
    soft = [one for one in options.thresholds if one.grace_s is not None]
    high, low = options.image_gc_percents
    found: dict[str, Any] = {
        "enableServer": options.server is not None,
        "staticPodPath": str(options.static_pod_dir) if options.static_pod_dir else None,
        "podLogsDir": str(options.logs_dir),
        "clusterDomain": options.cluster_domain,
        "clusterDNS": list(options.cluster_dns) or None,
        "nodeStatusUpdateFrequency": go_duration(options.status_update_s),
        "nodeStatusReportFrequency": go_duration(options.status_report_s),
        "nodeLeaseDurationSeconds": options.lease_duration_s,
        "imageGCHighThresholdPercent": high,
        "imageGCLowThresholdPercent": low,
        "cgroupRoot": options.cgroup_root,
        "maxPods": options.max_pods,
        "resolvConf": options.resolv_conf,
        "evictionHard": _amounts(hard),
        "evictionSoft": _amounts(soft) or None,
        "evictionSoftGracePeriod": {one.signal: go_duration(one.grace_s or 0) for one in soft} or None,
        "evictionPressureTransitionPeriod": go_duration(options.eviction_transition_s),
        "evictionMaxPodGracePeriod": int(options.eviction_max_grace_s) or None,
        "shutdownGracePeriodByPodPriority": [
            {"priority": one.priority, "shutdownGracePeriodSeconds": one.grace_s}
            for one in options.shutdown_periods
        ]
        or None,
        "containerLogMaxSize": f"{options.log_max_bytes // (1024 * 1024)}Mi",
        "containerLogMaxFiles": options.log_max_files,
        "allowedUnsafeSysctls": list(options.allowed_unsafe_sysctls) or None,
        "registerNode": options.register_node,
        "registerWithTaints": [dict(taint) for taint in options.taints] or None,
        "containerRuntimeEndpoint": options.runtime_endpoint,
        **_reserved(options.reserved),
        **(_server(options.server) if options.server is not None else {}),
    }
    return {key: value for key, value in found.items() if value is not None}


def _server(server: ServerOptions) -> dict[str, Any]:
    access = server.access
    return {
        "address": server.address,
        "port": server.port,
        "serverTLSBootstrap": True if server.bootstrap else None,
        "readOnlyPort": server.read_only_port or None,
        "tlsCertFile": str(server.certificate) if server.certificate else None,
        "tlsPrivateKeyFile": str(server.key) if server.key else None,
        "authentication": {
            "x509": {"clientCAFile": str(server.client_ca)} if server.client_ca else {},
            "webhook": {
                "enabled": access.webhook_authentication,
                "cacheTTL": go_duration(access.token_ttl_s),
            },
            "anonymous": {"enabled": access.anonymous},
        },
        "authorization": {
            "mode": "Webhook" if access.webhook_authorization else "AlwaysAllow",
            "webhook": {
                "cacheAuthorizedTTL": go_duration(access.authorized_ttl_s),
                "cacheUnauthorizedTTL": go_duration(access.unauthorized_ttl_s),
            },
        },
        "enableDebuggingHandlers": server.handlers.debugging,
        "enableSystemLogHandler": server.handlers.system_logs,
        "enableSystemLogQuery": server.handlers.system_log_query,
        "enableProfilingHandler": server.handlers.profiling,
        "enableDebugFlagsHandler": server.handlers.debug_flags,
    }


def _amounts(thresholds: Iterable[Threshold]) -> dict[str, str]:
    return {one.signal: one.text for one in thresholds}


def _reserved(reserved: tuple[Mapping[str, str], ...]) -> dict[str, Any]:
    names = ("systemReserved", "kubeReserved")
    return {name: dict(amounts) for name, amounts in zip(names, reserved, strict=False) if amounts}
