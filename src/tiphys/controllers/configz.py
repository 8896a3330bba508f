"""``/configz``: the settings that this manager works with, as a ``KubeControllerManagerConfiguration``.

Shows what the manager honours and nothing else: a field that is not there has no effect here. Upstream shows
its internal form, whose fields bear Go's names. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.duration import go_duration
from tiphys.client.leaderelection import Election
from tiphys.controllers.context import ControllerOptions

GROUP: Final = "kubecontrollermanager.config.k8s.io"
_SYNCS: Final = {
    "CronJobController": ("ConcurrentCronJobSyncs", "cronjob-controller"),
    "DaemonSetController": ("ConcurrentDaemonSetSyncs", "daemonset-controller"),
    "DeploymentController": ("ConcurrentDeploymentSyncs", "deployment-controller"),
    "EndpointController": ("ConcurrentEndpointSyncs", "endpoint-controller"),
    "EndpointSliceController": ("ConcurrentServiceEndpointSyncs", "endpoint-slice-controller"),
    "GarbageCollectorController": ("ConcurrentGCSyncs", "garbage-collector-controller"),
    "JobController": ("ConcurrentJobSyncs", "job-controller"),
    "NamespaceController": ("ConcurrentNamespaceSyncs", "namespace-controller"),
    "ReplicaSetController": ("ConcurrentRSSyncs", "replicaset-controller"),
    "ReplicationController": ("ConcurrentRCSyncs", "replication-controller"),
    "StatefulSetController": ("ConcurrentStatefulSetSyncs", "statefulset-controller"),
}
_SIGNERS: Final = {
    "KubeletServingSignerConfiguration": "kubelet-serving",
    "KubeletClientSignerConfiguration": "kubelet-client",
    "KubeAPIServerClientSignerConfiguration": "kube-apiserver-client",
    "LegacyUnknownSignerConfiguration": "legacy-unknown",
}


def configuration(
    options: ControllerOptions, given: Mapping[str, Any], serving: tuple[str, int]
) -> dict[str, Any]:
    """Return the document that clients read under the group.

    ``given``: flags of the command by their Python names, for the files that options have the contents of;
    ``serving``: the endpoint's address and port.
    """
    address, port = serving
    rates, one_family = options.eviction_rates, "," not in options.cluster_cidr
    ranges = [*options.service_cidr.split(","), "", ""]
    return {
        "Generic": {
            "Port": port,
            "Address": address,
            "ClientConnection": {"Kubeconfig": given["kubeconfig"]},
            "LeaderElection": _election(options.election, leads=options.leader_elect),
            "Controllers": list(options.controllers),
        },
        "KubeCloudShared": {
            "UseServiceAccountCredentials": options.use_service_account_credentials,
            "NodeMonitorPeriod": go_duration(options.node_monitor_period_s),
            "ClusterCIDR": options.cluster_cidr,
            "AllocateNodeCIDRs": bool(given["allocate_node_cidrs"]),
        },
        **{section: {name: options.workers_of(who)} for section, (name, who) in _SYNCS.items()},
        "CSRSigningController": _signing(options, given),
        "HPAController": {"HorizontalPodAutoscalerSyncPeriod": go_duration(options.autoscaler_sync_s)},
        "LegacySATokenCleaner": {"CleanUpPeriod": go_duration(options.legacy_token_clean_up_s)},
        "NodeIPAMController": {
            "ServiceCIDR": ranges[0],
            "SecondaryServiceCIDR": ranges[1],
            "NodeCIDRMaskSize": options.node_cidr_mask_size if one_family else 0,
            "NodeCIDRMaskSizeIPv4": options.node_cidr_mask_size,
            "NodeCIDRMaskSizeIPv6": options.node_cidr_mask_size_ipv6,
        },
        "NodeLifecycleController": {
            "NodeEvictionRate": rates.usual,
            "SecondaryNodeEvictionRate": rates.slow,
            "NodeStartupGracePeriod": go_duration(options.node_startup_grace_s),
            "NodeMonitorGracePeriod": go_duration(options.node_monitor_grace_s),
            "LargeClusterSizeThreshold": rates.large_zone,
            "UnhealthyZoneThreshold": rates.unhealthy_share,
        },
        "PersistentVolumeBinderController": {
            "VolumeConfiguration": {"EnableHostPathProvisioning": bool(options.hostpath_root)}
        },
        "PodGCController": {"TerminatedPodGCThreshold": options.terminated_pod_threshold},
        "SAController": {
            "ServiceAccountKeyFile": given["service_account_private_key_file"],
            "RootCAFile": given["root_ca_file"],
        },
    }


def _election(election: Election, *, leads: bool) -> dict[str, Any]:
    return {key[0].upper() + key[1:]: value for key, value in election.settings(leads=leads).items()}


def _signing(options: ControllerOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    def files(signer: str) -> dict[str, str]:
        name = f"cluster-signing-{signer}".replace("-", "_")
        return {"CertFile": given[f"{name}_cert_file"], "KeyFile": given[f"{name}_key_file"]}

    return {
        "ClusterSigningCertFile": given["cluster_signing_cert_file"],
        "ClusterSigningKeyFile": given["cluster_signing_key_file"],
        **{section: files(signer) for section, signer in _SIGNERS.items()},
        "ClusterSigningDuration": go_duration(options.signing_duration_s),
    }
