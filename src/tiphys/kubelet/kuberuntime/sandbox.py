"""The configuration of a pod's sandbox. Pure.

Source: CRI's PodSandboxConfig; labels as other tools (crictl, log collectors) expect them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet.cm.resources import pod_linux_resources
from tiphys.kubelet.kuberuntime.network import ResolvConf, dns_config, kernel_hostname
from tiphys.kubelet.kuberuntime.security import sandbox_security
from tiphys.kubelet.runtime import POD_NAME, POD_NAMESPACE, POD_UID, Config

_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What of the node goes into every configuration."""

    logs_dir: str = "/var/log/pods"
    seccomp_root: str = "/var/lib/kubelet/seccomp"
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: ResolvConf = field(default_factory=ResolvConf)
    node_memory_bytes: int = 0
    usage_cgroup: str = ""
    """The cgroup whose usage is the node's; empty: all of the machine, what runs beside the pods too."""


def pod_labels(pod: Object) -> dict[str, str]:
    """Return the labels that tie a sandbox or container to its pod."""
    meta = pod["metadata"]
    return {POD_NAME: meta["name"], POD_NAMESPACE: meta["namespace"], POD_UID: meta["uid"]}


def log_directory(pod: Object, logs_dir: str) -> str:
    """Return ``<logs>/<namespace>_<name>_<uid>``."""
    meta = pod["metadata"]
    return f"{logs_dir}/{meta['namespace']}_{meta['name']}_{meta['uid']}"


def port_mappings(pod: Object) -> list[Config]:
    """Return the ports to publish on the node; none on the host's network, where they are open already."""
    if pod["spec"].get("hostNetwork"):
        return []
    sidecars = [
        item for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"
    ]
    return [
        {
            "protocol": _PROTOCOLS[port.get("protocol") or "TCP"],
            "container_port": port["containerPort"],
            "host_port": port["hostPort"],
            "host_ip": port.get("hostIP") or "",
        }
        for container in [*sidecars, *pod["spec"]["containers"]]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def sandbox_config(pod: Object, attempt: int, node: NodeSettings, cgroup_parent: str = "") -> Config:
    """Return ``PodSandboxConfig``; an empty ``cgroup_parent`` leaves the place to the runtime."""
    meta, spec = pod["metadata"], pod["spec"]
    linux: Config = {
        "security_context": sandbox_security(pod, node.seccomp_root),
        "resources": pod_linux_resources(pod),
    }
    if cgroup_parent:
        linux["cgroup_parent"] = cgroup_parent
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    if sysctls:
        linux["sysctls"] = {item["name"].replace("/", "."): item["value"] for item in sysctls}
    return {
        "metadata": {
            "name": meta["name"],
            "uid": meta["uid"],
            "namespace": meta["namespace"],
            "attempt": attempt,
        },
        "hostname": kernel_hostname(pod, node.cluster_domain),
        "log_directory": log_directory(pod, node.logs_dir),
        "dns_config": dns_config(pod, node.resolv_conf, node.cluster_dns, node.cluster_domain).to_cri(),
        "port_mappings": port_mappings(pod),
        "labels": {**(meta.get("labels") or {}), **pod_labels(pod)},
        "annotations": {
            **(meta.get("annotations") or {}),
            "kubernetes.io/config.source": "api",
        },
        "linux": linux,
    }
