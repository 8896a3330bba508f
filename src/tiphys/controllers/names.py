"""Upstream's names of controllers, old and new, for ``--controllers``. Data; ``manager`` chooses by them."""

from __future__ import annotations

from typing import Final

OFF_BY_DEFAULT: Final = ("bootstrap-signer-controller", "token-cleaner-controller")
"""Run only when they are named: ``*`` does not mean them."""

GATES: Final = {
    "kube-apiserver-serving-clustertrustbundle-publisher-controller": "ClusterTrustBundle",
    "podcertificaterequest-cleaner-controller": "PodCertificateRequest",
    "podgroup-protection-controller": "GenericWorkload",
    "storage-version-migrator-controller": "StorageVersionMigrator",
}
"""Run only while a feature gate is on."""

ALIASES: Final = {
    "endpoints-controller": "endpoint-controller",
    "endpoint": "endpoint-controller",
    "endpointslice-controller": "endpoint-slice-controller",
    "endpointslice": "endpoint-slice-controller",
    "endpointslice-mirroring-controller": "endpoint-slice-mirroring-controller",
    "endpointslicemirroring": "endpoint-slice-mirroring-controller",
    "replicationcontroller-controller": "replication-controller",
    "replicationcontroller": "replication-controller",
    "podgc": "pod-garbage-collector-controller",
    "resourcequota": "resourcequota-controller",
    "namespace": "namespace-controller",
    "serviceaccount-controller": "service-account-controller",
    "serviceaccount": "service-account-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "garbagecollector": "garbage-collector-controller",
    "daemonset": "daemonset-controller",
    "job": "job-controller",
    "deployment": "deployment-controller",
    "replicaset": "replicaset-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "disruption": "disruption-controller",
    "statefulset": "statefulset-controller",
    "cronjob": "cronjob-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "ttl": "ttl-controller",
    "bootstrapsigner": "bootstrap-signer-controller",
    "tokencleaner": "token-cleaner-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "device-taint-eviction": "device-taint-eviction-controller",
    "taint-eviction": "taint-eviction-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "persistentvolume-expander": "persistentvolume-expander-controller",
    "attachdetach": "persistentvolume-attach-detach-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "storage-version-migrator": "storage-version-migrator-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "root-ca-certificate-publisher-controller": "root-ca-certificate-publisher",
    "root-ca-cert-publisher": "root-ca-certificate-publisher",
    "kube-apiserver-serving-clustertrustbundle-publisher": (
        "kube-apiserver-serving-clustertrustbundle-publisher-controller"
    ),
    "ephemeral-volume": "ephemeral-volume-controller",
    "resource-claim-controller": "resourceclaim-controller",
    "validatingadmissionpolicy-status": "validatingadmissionpolicy-status-controller",
    "service-cidr-controller": "service-cidr-controller",
    "legacy-service-account-token-cleaner": "legacy-serviceaccount-token-cleaner-controller",
}

ELSEWHERE: Final = frozenset(
    {"service-lb-controller", "service", "node-route-controller", "route", "cloud-node-lifecycle-controller"}
    | {"cloud-node-lifecycle"}
    | {"selinux-warning-controller"}
    | {"storageversion-garbage-collector-controller", "storage-version-gc"}
)
"""Upstream's that are part of another controller here, or not built: naming them changes nothing."""
