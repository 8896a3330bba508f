"""The kubelet's configuration file: which flag each field of ``KubeletConfiguration`` is.

Source: kubelet.config.k8s.io/v1beta1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tiphys.cmd.config_document import Kind, comma_list, load, merge, pairs, parameters


def _taints(value: Any) -> str:
    return comma_list(f"{one['key']}={one.get('value') or ''}:{one['effect']}" for one in value)


def _periods(value: Any) -> str:
    return comma_list(
        f"{one.get('priority') or 0}={one.get('shutdownGracePeriodSeconds') or 0}" for one in value
    )


KIND: Final = Kind(
    "kubelet.config.k8s.io/v1beta1",
    "KubeletConfiguration",
    {
        "address": "address",
        "port": "port",
        "healthzPort": "healthz_port",
        "healthzBindAddress": "healthz_bind_address",
        "tlsCertFile": "tls_cert_file",
        "tlsPrivateKeyFile": "tls_private_key_file",
        "tlsMinVersion": "tls_min_version",
        "tlsCipherSuites": ("tls_cipher_suites", comma_list),
        "featureGates": ("feature_gates", pairs()),
        "rotateCertificates": "rotate_certificates",
        "serverTLSBootstrap": "rotate_server_certificates",
        "readOnlyPort": "read_only_port",
        "authentication.anonymous.enabled": "anonymous_auth",
        "authentication.webhook.enabled": "authentication_token_webhook",
        "authentication.webhook.cacheTTL": "authentication_token_webhook_cache_ttl",
        "authentication.x509.clientCAFile": "client_ca_file",
        "authorization.mode": "authorization_mode",
        "authorization.webhook.cacheAuthorizedTTL": "authorization_webhook_cache_authorized_ttl",
        "authorization.webhook.cacheUnauthorizedTTL": "authorization_webhook_cache_unauthorized_ttl",
        "registerNode": "register_node",
        "registerWithTaints": ("register_with_taints", _taints),
        "staticPodPath": "pod_manifest_path",
        "podLogsDir": "log_root",
        "clusterDomain": "cluster_domain",
        "clusterDNS": ("cluster_dns", comma_list),
        "resolvConf": "resolv_conf",
        "nodeStatusUpdateFrequency": "node_status_update_frequency",
        "nodeStatusReportFrequency": "node_status_report_frequency",
        "nodeLeaseDurationSeconds": "node_lease_duration_seconds",
        "imageGCHighThresholdPercent": "image_gc_high_threshold",
        "imageGCLowThresholdPercent": "image_gc_low_threshold",
        "cgroupRoot": "cgroup_root",
        "maxPods": "max_pods",
        "providerID": "provider_id",
        "evictionHard": ("eviction_hard", pairs("<")),
        "evictionSoft": ("eviction_soft", pairs("<")),
        "evictionSoftGracePeriod": ("eviction_soft_grace_period", pairs()),
        "evictionPressureTransitionPeriod": "eviction_pressure_transition_period",
        "evictionMaxPodGracePeriod": "eviction_max_pod_grace_period",
        "kubeReserved": ("kube_reserved", pairs()),
        "systemReserved": ("system_reserved", pairs()),
        "containerLogMaxSize": "container_log_max_size",
        "containerLogMaxFiles": "container_log_max_files",
        "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", comma_list),
        "shutdownGracePeriod": "shutdown_grace_period",
        "shutdownGracePeriodCriticalPods": "shutdown_grace_period_critical_pods",
        "shutdownGracePeriodByPodPriority": ("shutdown_grace_period_by_pod_priority", _periods),
        "containerRuntimeEndpoint": "container_runtime_endpoint",
        "enableDebuggingHandlers": "enable_debugging_handlers",
        "enableSystemLogHandler": "enable_system_log_handler",
        "enableSystemLogQuery": "enable_system_log_query",
        "enableProfilingHandler": "enable_profiling_handler",
        "enableDebugFlagsHandler": "enable_debug_flags_handler",
        "tracing": ("tracing", json.dumps),
        "crashLoopBackOff.maxContainerRestartPeriod": "crash_loop_back_off_max",
    },
    frozenset(
        {"authentication", "authorization", "enableServer", "syncFrequency", "fileCheckFrequency"}
        | {"httpCheckFrequency", "staticPodURL", "staticPodURLHeader"}
        | {"tlsCurvePreferences", "registryPullQPS", "registryBurst"}
        | {"imagePullCredentialsVerificationPolicy", "preloadedImagesVerificationAllowlist"}
        | {"eventRecordQPS", "eventBurst", "enableContentionProfiling"}
        | {"oomScoreAdj", "streamingConnectionIdleTimeout", "imageMinimumGCAge", "imageMaximumGCAge"}
        | {"volumeStatsAggPeriod", "kubeletCgroups", "systemCgroups", "cgroupsPerQOS", "cgroupDriver"}
        | {"cpuManagerPolicy", "singleProcessOOMKill", "cpuManagerPolicyOptions", "memoryManagerPolicy"}
        | {"cpuManagerReconcilePeriod", "topologyManagerPolicy", "topologyManagerScope", "qosReserved"}
        | {"topologyManagerPolicyOptions", "runtimeRequestTimeout", "hairpinMode", "podCIDR"}
        | {"podPidsLimit", "runOnce", "cpuCFSQuota", "cpuCFSQuotaPeriod", "nodeStatusMaxImages"}
        | {"maxOpenFiles", "contentType", "kubeAPIQPS", "kubeAPIBurst", "serializeImagePulls"}
        | {"maxParallelImagePulls", "evictionMinimumReclaim", "mergeDefaultEvictionSettings", "podsPerCore"}
        | {"enableControllerAttachDetach", "protectKernelDefaults", "makeIPTablesUtilChains"}
        | {"iptablesMasqueradeBit", "iptablesDropBit", "failSwapOn", "memorySwap"}
        | {
            "containerLogMaxWorkers",
            "containerLogMonitorInterval",
            "configMapAndSecretChangeDetectionStrategy",
        }
        | {"reservedSystemCPUs", "showHiddenMetricsForVersion", "systemReservedCgroup", "kubeReservedCgroup"}
        | {"enforceNodeAllocatable", "volumePluginDir", "kernelMemcgNotification", "logging"}
        | {"crashLoopBackOff", "reservedMemory", "seccompDefault", "memoryThrottlingFactor"}
        | {
            "localStorageCapacityIsolation",
            "imageServiceEndpoint",
            "failCgroupV1",
            "userNamespaces",
        }
        | {"memoryReservationPolicy"}
    ),
)


def read(path: str, folder: str = "") -> Mapping[str, Any]:
    """Return the parameters that a file sets, with a folder's drop-ins (``*.conf``) laid over it by name.

    Raises click.FileError, click.UsageError.
    """
    document = load(path) if path else {"apiVersion": KIND.api_version, "kind": KIND.name}
    for dropped in sorted(Path(folder).glob("*.conf")) if folder else ():
        document = merge(document, load(str(dropped)))
    return parameters(document, KIND)
