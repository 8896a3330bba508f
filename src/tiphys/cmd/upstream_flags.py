"""The flags of upstream's components of v1.36, by the kind of their values. Data; ``component`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Kinds = Mapping[str, str]
"""Kind of value to names, with spaces between. ``list``, ``ints`` and ``map`` may be given several times."""

LOGGING: Final[Kinds] = {
    "bool": "log-json-split-stream log-text-split-stream",
    "int": "v",
    "modules": "vmodule",
    "text": "logging-format log-json-info-buffer-size log-text-info-buffer-size version",
    "duration": "log-flush-frequency",
}
METRICS: Final[Kinds] = {
    "text": "allow-metric-labels-manifest show-hidden-metrics-for-version",
    "list": "disabled-metrics",
    "map": "allow-metric-labels",
}
SERVING: Final[Kinds] = {
    "bool": "disable-http2-serving permit-address-sharing permit-port-sharing",
    "int": "secure-port http2-max-streams-per-connection",
    "text": "bind-address cert-dir tls-cert-file tls-private-key-file tls-min-version",
    "list": "tls-cipher-suites",
    "ints": "tls-curve-preferences",
    "many": "tls-sni-cert-key",
}
FRONT_PROXY: Final[Kinds] = {
    "text": "requestheader-client-ca-file",
    "list": (
        "requestheader-allowed-names requestheader-extra-headers-prefix requestheader-group-headers "
        "requestheader-uid-headers requestheader-username-headers"
    ),
}
DELEGATED: Final[Kinds] = {
    "bool": "authentication-skip-lookup authentication-tolerate-lookup-failure",
    "duration": (
        "authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl "
        "authorization-webhook-cache-unauthorized-ttl"
    ),
    "text": "authentication-kubeconfig authorization-kubeconfig client-ca-file",
    "list": "authorization-always-allow-paths",
}
ELECTION: Final[Kinds] = {
    "bool": "leader-elect",
    "duration": "leader-elect-lease-duration leader-elect-renew-deadline leader-elect-retry-period",
    "text": "leader-elect-resource-lock leader-elect-resource-name leader-elect-resource-namespace",
}
CLIENT: Final[Kinds] = {
    "int": "kube-api-burst",
    "float": "kube-api-qps",
    "text": "kube-api-content-type kubeconfig master",
}
DEBUGGING: Final[Kinds] = {"bool": "profiling contention-profiling"}
GATES: Final[Kinds] = {"map": "feature-gates"}
EMULATION: Final[Kinds] = {"list": "emulated-version min-compatibility-version"}

_AUDIT: Final[Kinds] = {
    "bool": (
        "audit-log-batch-throttle-enable audit-log-compress audit-log-truncate-enabled "
        "audit-webhook-batch-throttle-enable audit-webhook-truncate-enabled"
    ),
    "int": (
        "audit-log-batch-buffer-size audit-log-batch-max-size audit-log-batch-throttle-burst "
        "audit-log-maxage audit-log-maxbackup audit-log-maxsize audit-log-truncate-max-batch-size "
        "audit-log-truncate-max-event-size audit-webhook-batch-buffer-size audit-webhook-batch-max-size "
        "audit-webhook-batch-throttle-burst audit-webhook-truncate-max-batch-size "
        "audit-webhook-truncate-max-event-size"
    ),
    "float": "audit-log-batch-throttle-qps audit-webhook-batch-throttle-qps",
    "duration": "audit-log-batch-max-wait audit-webhook-batch-max-wait audit-webhook-initial-backoff",
    "text": (
        "audit-log-format audit-log-mode audit-log-path audit-log-version audit-policy-file "
        "audit-webhook-config-file audit-webhook-mode audit-webhook-version"
    ),
}
_ETCD: Final[Kinds] = {
    "int": "default-watch-cache-size delete-collection-workers lease-reuse-duration-seconds",
    "bool": "enable-garbage-collector encryption-provider-config-automatic-reload watch-cache",
    "duration": (
        "etcd-compaction-interval etcd-count-metric-poll-period etcd-db-metric-poll-interval "
        "etcd-healthcheck-timeout etcd-readycheck-timeout storage-initialization-timeout"
    ),
    "text": (
        "encryption-provider-config etcd-cafile etcd-certfile etcd-keyfile etcd-prefix storage-backend "
        "storage-media-type"
    ),
    "list": "etcd-servers etcd-servers-overrides watch-cache-sizes",
}
_IDENTITY: Final[Kinds] = {
    "bool": (
        "anonymous-auth enable-bootstrap-token-auth service-account-extend-token-expiration "
        "service-account-lookup"
    ),
    "duration": (
        "authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl "
        "authorization-webhook-cache-unauthorized-ttl service-account-max-token-expiration"
    ),
    "text": (
        "authentication-config authentication-token-webhook-config-file "
        "authentication-token-webhook-version authorization-config authorization-policy-file "
        "authorization-webhook-config-file authorization-webhook-version client-ca-file oidc-ca-file "
        "oidc-client-id oidc-groups-claim oidc-groups-prefix oidc-issuer-url oidc-username-claim "
        "oidc-username-prefix proxy-client-cert-file proxy-client-key-file service-account-jwks-uri "
        "service-account-signing-endpoint service-account-signing-key-file token-auth-file"
    ),
    "list": "api-audiences authorization-mode oidc-signing-algs",
    "many": "oidc-required-claim service-account-issuer service-account-key-file",
}
_API: Final[Kinds] = {
    "bool": (
        "aggregator-reject-forwarding-redirect allow-privileged enable-aggregator-routing "
        "enable-logs-handler enable-priority-and-fairness emulation-forward-compatible "
        "runtime-config-emulation-forward-compatible shutdown-send-retry-after"
    ),
    "int": (
        "apiserver-count default-not-ready-toleration-seconds default-unreachable-toleration-seconds "
        "kubelet-port kubelet-read-only-port kubernetes-service-node-port max-connection-bytes-per-sec "
        "max-mutating-requests-inflight max-requests-inflight min-request-timeout"
    ),
    "float": "goaway-chance",
    "duration": (
        "coordinated-leadership-lease-duration coordinated-leadership-renew-deadline "
        "coordinated-leadership-retry-period event-ttl kubelet-timeout livez-grace-period request-timeout "
        "shutdown-delay-duration shutdown-watch-termination-grace-period"
    ),
    "text": (
        "admission-control-config-file advertise-address debug-socket-path egress-selector-config-file "
        "endpoint-reconciler-type external-hostname kubelet-certificate-authority "
        "kubelet-client-certificate kubelet-client-key peer-advertise-ip peer-advertise-port peer-ca-file "
        "service-cluster-ip-range service-node-port-range tracing-config-file"
    ),
    "list": (
        "cors-allowed-origins disable-admission-plugins enable-admission-plugins "
        "kubelet-preferred-address-types strict-transport-security-directives"
    ),
    "map": "runtime-config",
}
_CONTROLLERS: Final[Kinds] = {
    "bool": (
        "allocate-node-cidrs configure-cloud-routes disable-attach-detach-reconcile-sync "
        "disable-force-detach-on-timeout enable-dynamic-provisioning enable-garbage-collector "
        "enable-hostpath-provisioner enable-leader-migration use-service-account-credentials"
    ),
    "int": (
        "concurrent-cron-job-syncs concurrent-daemonset-syncs concurrent-deployment-syncs "
        "concurrent-device-taint-eviction-syncs concurrent-disruption-syncs concurrent-endpoint-syncs "
        "concurrent-ephemeralvolume-syncs concurrent-gc-syncs concurrent-horizontal-pod-autoscaler-syncs "
        "concurrent-job-syncs concurrent-namespace-syncs concurrent-rc-syncs concurrent-replicaset-syncs "
        "concurrent-resource-claim-syncs concurrent-resource-quota-syncs "
        "concurrent-service-endpoint-syncs concurrent-service-syncs concurrent-serviceaccount-token-syncs "
        "concurrent-statefulset-syncs concurrent-ttl-after-finished-syncs "
        "concurrent-validating-admission-policy-status-syncs large-cluster-size-threshold "
        "max-endpoints-per-slice mirroring-concurrent-service-endpoint-syncs "
        "mirroring-max-endpoints-per-subset node-cidr-mask-size node-cidr-mask-size-ipv4 "
        "node-cidr-mask-size-ipv6 pv-recycler-increment-timeout-nfs pv-recycler-minimum-timeout-hostpath "
        "pv-recycler-minimum-timeout-nfs pv-recycler-timeout-increment-hostpath "
        "terminated-pod-gc-threshold"
    ),
    "float": (
        "horizontal-pod-autoscaler-tolerance node-eviction-rate secondary-node-eviction-rate "
        "unhealthy-zone-threshold"
    ),
    "duration": (
        "attach-detach-reconcile-sync-period cluster-signing-duration controller-shutdown-timeout "
        "controller-start-interval endpoint-updates-batch-period endpointslice-updates-batch-period "
        "horizontal-pod-autoscaler-cpu-initialization-period "
        "horizontal-pod-autoscaler-downscale-stabilization "
        "horizontal-pod-autoscaler-initial-readiness-delay horizontal-pod-autoscaler-sync-period "
        "legacy-service-account-token-clean-up-period min-resync-period "
        "mirroring-endpointslice-updates-batch-period namespace-sync-period node-monitor-grace-period "
        "node-monitor-period node-startup-grace-period pvclaimbinder-sync-period "
        "resource-quota-sync-period route-reconciliation-period"
    ),
    "text": (
        "cidr-allocator-type cloud-config cloud-provider cluster-cidr cluster-name "
        "cluster-signing-cert-file cluster-signing-key-file "
        "cluster-signing-kube-apiserver-client-cert-file cluster-signing-kube-apiserver-client-key-file "
        "cluster-signing-kubelet-client-cert-file cluster-signing-kubelet-client-key-file "
        "cluster-signing-kubelet-serving-cert-file cluster-signing-kubelet-serving-key-file "
        "cluster-signing-legacy-unknown-cert-file cluster-signing-legacy-unknown-key-file "
        "external-cloud-volume-plugin flex-volume-plugin-dir leader-migration-config "
        "pv-recycler-pod-template-filepath-hostpath pv-recycler-pod-template-filepath-nfs root-ca-file "
        "service-account-private-key-file service-cluster-ip-range"
    ),
    "list": "controllers",
}
_SCHEDULER: Final[Kinds] = {
    "duration": "pod-max-in-unschedulable-pods-duration",
    "text": "config write-config-to",
}
_PROXY: Final[Kinds] = {
    "bool": (
        "bind-address-hard-fail cleanup conntrack-tcp-be-liberal init-only iptables-localhost-nodeports "
        "ipvs-strict-arp masquerade-all profiling"
    ),
    "int": "conntrack-max-per-core conntrack-min iptables-masquerade-bit oom-score-adj",
    "duration": (
        "config-sync-period conntrack-tcp-timeout-close-wait conntrack-tcp-timeout-established "
        "conntrack-udp-timeout conntrack-udp-timeout-stream iptables-min-sync-period iptables-sync-period "
        "ipvs-min-sync-period ipvs-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout ipvs-udp-timeout"
    ),
    "text": (
        "bind-address cluster-cidr config detect-local-mode healthz-bind-address hostname-override "
        "ipvs-scheduler metrics-bind-address pod-bridge-interface pod-interface-name-prefix proxy-mode "
        "proxy-port-range show-hidden-metrics-for-version write-config-to"
    ),
    "list": "ipvs-exclude-cidrs nodeport-addresses",
}
_KUBELET: Final[Kinds] = {
    "bool": "exit-on-lock-contention experimental-allocatable-ignore-eviction seccomp-default",
    "int": "maximum-dead-containers maximum-dead-containers-per-container",
    "duration": "minimum-container-ttl-duration",
    "text": (
        "bootstrap-kubeconfig cert-dir cloud-provider config config-dir hostname-override "
        "image-credential-provider-bin-dir image-credential-provider-config kubeconfig lock-file node-ip "
        "pod-infra-container-image root-dir runtime-cgroups"
    ),
    "map": "node-labels",
}
_CADVISOR: Final[Kinds] = {
    "bool": "enable-load-reader log-cadvisor-usage storage-driver-secure",
    "int": "application-metrics-count-limit",
    "duration": "global-housekeeping-interval housekeeping-interval storage-driver-buffer-duration",
    "text": (
        "boot-id-file container-hints containerd containerd-namespace event-storage-age-limit "
        "event-storage-event-limit machine-id-file storage-driver-db storage-driver-host "
        "storage-driver-password storage-driver-table storage-driver-user"
    ),
}
_KUBELET_FILE: Final[Kinds] = {
    "bool": (
        "anonymous-auth authentication-token-webhook cgroups-per-qos contention-profiling cpu-cfs-quota "
        "enable-controller-attach-detach enable-debugging-handlers enable-server fail-swap-on "
        "kernel-memcg-notification local-storage-capacity-isolation make-iptables-util-chains "
        "protect-kernel-defaults register-node rotate-certificates rotate-server-certificates "
        "serialize-image-pulls"
    ),
    "int": (
        "container-log-max-files eviction-max-pod-grace-period event-burst event-qps healthz-port "
        "image-gc-high-threshold image-gc-low-threshold iptables-drop-bit iptables-masquerade-bit "
        "kube-api-burst kube-api-qps max-open-files max-pods node-status-max-images oom-score-adj "
        "pod-max-pids pods-per-core port read-only-port registry-burst registry-qps"
    ),
    "duration": (
        "authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl "
        "authorization-webhook-cache-unauthorized-ttl cpu-cfs-quota-period cpu-manager-reconcile-period "
        "eviction-pressure-transition-period file-check-frequency http-check-frequency "
        "minimum-image-ttl-duration node-status-update-frequency runtime-request-timeout "
        "streaming-connection-idle-timeout sync-frequency volume-stats-agg-period"
    ),
    "text": (
        "address authorization-mode cgroup-driver cgroup-root client-ca-file cluster-domain "
        "container-log-max-size container-runtime-endpoint cpu-manager-policy hairpin-mode "
        "healthz-bind-address image-service-endpoint kube-api-content-type kube-reserved-cgroup "
        "kubelet-cgroups manifest-url memory-manager-policy pod-cidr pod-manifest-path reserved-cpus "
        "resolv-conf system-cgroups system-reserved-cgroup tls-cert-file tls-min-version "
        "tls-private-key-file topology-manager-policy topology-manager-scope volume-plugin-dir"
    ),
    "list": (
        "allowed-unsafe-sysctls cluster-dns enforce-node-allocatable register-with-taints tls-cipher-suites"
    ),
    "ints": "tls-curve-preferences",
    "map": (
        "cpu-manager-policy-options eviction-hard eviction-minimum-reclaim eviction-soft "
        "eviction-soft-grace-period feature-gates kube-reserved manifest-url-header qos-reserved "
        "reserved-memory system-reserved topology-manager-policy-options"
    ),
}
"""What has a place in the kubelet's configuration file."""

_COMPONENTS: Final[Mapping[str, tuple[Kinds, ...]]] = {
    "kube-apiserver": (
        LOGGING, METRICS, SERVING, FRONT_PROXY, DEBUGGING, GATES, EMULATION, _AUDIT, _ETCD, _IDENTITY, _API,
    ),
    "kube-controller-manager": (
        LOGGING, METRICS, SERVING, FRONT_PROXY, DELEGATED, ELECTION, CLIENT, DEBUGGING, GATES, EMULATION,
        _CONTROLLERS,
    ),
    "kube-scheduler": (
        LOGGING, METRICS, SERVING, FRONT_PROXY, DELEGATED, ELECTION, CLIENT, DEBUGGING, GATES, EMULATION,
        _SCHEDULER,
    ),
    "kube-proxy": (LOGGING, CLIENT, GATES, _PROXY),
    "kubelet": (LOGGING, _KUBELET, _CADVISOR, _KUBELET_FILE),
}  # fmt: skip


_IDLE: Final[Mapping[str, str]] = {
    "lines go out as they are written": (
        "log-flush-frequency log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size "
        "log-text-split-stream"
    ),
    "Go's profiles are of Go's programs": "profiling contention-profiling debug-socket-path",
    "memory holds every object, however many": "default-watch-cache-size watch-cache-sizes watch-cache",
    "each lease is for one time of expiry": "lease-reuse-duration-seconds",
    "the store is asked all the time": "etcd-count-metric-poll-period etcd-db-metric-poll-interval",
    "--store says which": "storage-backend",
    "objects are stored as JSON": "storage-media-type",
    "what is emulated are fields and gates": (
        "emulation-forward-compatible runtime-config-emulation-forward-compatible"
    ),
    "kubelets are asked on one port": "kubelet-read-only-port",
    "answers of kubelets may take as long as their requests": "kubelet-timeout",
    "nobody elects leaders for others": (
        "coordinated-leadership-lease-duration coordinated-leadership-renew-deadline "
        "coordinated-leadership-retry-period"
    ),
    "addresses are taken again at once, as Go's listeners take them": "permit-address-sharing",
}
"""Why flags of the API server have no effect, and whatever other component has them for the same reason."""


def why_idle(component: str, flag: str) -> str:
    """Return why a flag of an upstream component means nothing here, where that is known."""
    everywhere = component == "kube-apiserver" or flag in flags_of("kube-apiserver")
    return next((why for why, names in _IDLE.items() if everywhere and flag in names.split()), "")


def flags_of(component: str) -> dict[str, str]:
    """Return every flag of an upstream component, without its dashes, with the kind of its value."""
    return {
        name: kind
        for kinds in _COMPONENTS[component]
        for kind, names in kinds.items()
        for name in names.split()
    }
