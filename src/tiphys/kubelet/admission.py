"""What a node refuses to run although the scheduler (or a person) sent it here. Pure.

A refused pod becomes Failed and is never started.
Source: "Node status: pods rejected by the kubelet"; "Using sysctls in a Kubernetes Cluster".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field

from tiphys.apimachinery import labels
from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.taints import tolerates
from tiphys.kubelet.cm.qos import qos_class, spec_containers
from tiphys.kubelet.cm.resources import pod_amount
from tiphys.kubelet.eviction.plan import refused_under

SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})  # fmt: skip

NODE_AFFINITY = "NodeAffinity"
"""The reason of pods that want a node with other labels."""
OUT_OF = "OutOf"
"""What the reasons begin with of pods for which there is too little of something."""
TAINTED = "TaintToleration"
"""The reason of pods that do not tolerate what the node's taints say."""
OS_LABEL, OS = "kubernetes.io/os", "linux"
_CONFIG_SOURCE = "kubernetes.io/config.source"
_ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod is refused: goes into its status and an event."""

    reason: str
    message: str
    grace_s: float | None = None
    """How long containers that run may take to end, if it is not the pod's own time."""
    disruption: bool = False
    """The node gives up a pod that has done nothing wrong."""
    at_admission: bool = False
    """The node never took the pod in: there is nothing to tell of its containers."""
    condition: str = ""
    """What the condition of a disruption says, if it is not the message."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A resource of which there is not enough for a pod: millis for cpu, units else."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        """How much would have to be free beside what is."""
        return self.requested - (self.capacity - self.used)


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """What the node gives to pods, by resource: millis for cpu, units else."""

    allocatable: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    unsafe_sysctls: tuple[str, ...] = ()
    """Allowed beyond the safe ones; a trailing ``*`` stands for anything."""
    pressures: frozenset[str] = frozenset()
    """The node's conditions that say that something is short."""
    refuses: Rejection | None = None
    """Why it takes no pods at all."""
    name: str = ""
    taints: tuple[Object, ...] = ()
    strict_groups: bool = False
    """The runtime can leave out the groups that an image gives its user."""
    apparmor: bool = True
    """The kernel enforces AppArmor profiles."""


def finished(pod: Object) -> bool:
    """Whether a pod has ended and takes no more of the node."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def admit(pod: Object, others: Iterable[Object], node: NodeCapacity) -> Rejection | None:
    """Return why the pod may not run here, or None."""
    running = [item for item in others if not finished(item)]
    return (
        node.refuses
        or _pressure(pod, node)
        or _sysctls(pod, node)
        or _system(pod)
        or _groups(pod, node)
        or _fit(pod, running, node)
        or _selector(pod, node)
        or _ports(pod, running)
        or _taints(pod, node)
        or _apparmor(pod, node)
    )


def _pressure(pod: Object, node: NodeCapacity) -> Rejection | None:
    if not node.pressures:
        return None
    tolerated = [item.get("key", "") for item in pod["spec"].get("tolerations") or ()]
    held = refused_under(pod, node.pressures, qos_class(pod), tolerated)
    return Rejection("Evicted", f"The node had condition: [{' '.join(held)}]. ") if held else None


def _sysctls(pod: Object, node: NodeCapacity) -> Rejection | None:
    spec = pod["spec"]
    for item in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = item["name"].replace("/", ".")
        allowed = name in SAFE_SYSCTLS or any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
            for pattern in node.unsafe_sysctls
        )
        if not allowed:
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if name.startswith("net.") and spec.get("hostNetwork"):
            return Rejection(
                "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled'
            )
        if name.startswith("kernel.") and spec.get("hostIPC"):
            return Rejection(
                "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
            )
    return None


def _system(pod: Object) -> Rejection | None:
    if (pod["metadata"].get("labels") or {}).get(OS_LABEL, OS) != OS:
        text = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (pod["spec"].get("os") or {}).get("name", OS) != OS:
        return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _groups(pod: Object, node: NodeCapacity) -> Rejection | None:
    policy = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy")
    if policy != "Strict" or node.strict_groups:
        return None
    text = f"SupplementalGroupsPolicy={policy} is not supported in this node"
    return Rejection("SupplementalGroupsPolicyNotSupported", text)


def _taints(pod: Object, node: NodeCapacity) -> Rejection | None:
    """Static pods stay whatever the taints."""
    if (pod["metadata"].get("annotations") or {}).get(_CONFIG_SOURCE, "api") != "api":
        return None
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in node.taints:
        if taint.get("effect") == "NoExecute" and not tolerates(tolerations, taint):
            text = "node(s) had taints that the pod didn't tolerate"
            return Rejection(TAINTED, f"Predicate {TAINTED} failed: {text}")
    return None


def _apparmor(pod: Object, node: NodeCapacity) -> Rejection | None:
    if node.apparmor or (pod.get("status") or {}).get("phase", "Pending") != "Pending":
        return None
    usual = (pod["spec"].get("securityContext") or {}).get("appArmorProfile")
    contexts = [one.get("securityContext") or {} for one in spec_containers(pod)]
    profiles = [context.get("appArmorProfile") or usual or {} for context in contexts]
    if all(profile.get("type", "Unconfined") == "Unconfined" for profile in profiles):
        return None
    return Rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def _selector(pod: Object, node: NodeCapacity) -> Rejection | None:
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in wanted.items()):
        text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        return Rejection(NODE_AFFINITY, text)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if affinity and not any(_term(term, node) for term in affinity.get("nodeSelectorTerms") or ()):
        text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        return Rejection(NODE_AFFINITY, text)
    return None


def _term(term: dict[str, object], node: NodeCapacity) -> bool:
    expressions = list(term.get("matchExpressions") or ())  # type: ignore[call-overload]
    fields = list(term.get("matchFields") or ())  # type: ignore[call-overload]
    if not expressions and not fields:
        return False
    own = {"metadata.name": node.name}
    return all(_matches(item, node.labels) for item in expressions) and all(
        _matches(item, own) for item in fields
    )


def _matches(item: dict[str, object], have: dict[str, str]) -> bool:
    key, operator, values = str(item["key"]), item["operator"], list(item.get("values") or ())  # type: ignore[call-overload]
    if operator in ("Gt", "Lt"):
        mine, bound = atoi(have.get(key) or ""), atoi(values[0]) if values else None
        if mine is None or bound is None:
            return False
        return mine > bound if operator == "Gt" else mine < bound
    requirement = {"key": key, "operator": operator, "values": values}
    return bool(labels.from_label_selector({"matchExpressions": [requirement]}).matches(have))


def _ports(pod: Object, running: list[Object]) -> Rejection | None:
    wanted = list(_host_ports(pod))
    taken = [port for item in running for port in _host_ports(item)] if wanted else []
    for ip, *port in wanted:
        for other_ip, *other in taken:
            if port == other and (ip == other_ip or _ANY_ADDRESS in (ip, other_ip)):
                text = "node(s) didn't have free ports for the requested pod ports"
                return Rejection("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _host_ports(pod: Object) -> Iterator[tuple[str, str, int]]:
    """Yield address, protocol and number of each port of the node that the pod takes."""
    spec = pod["spec"]
    starting = spec.get("initContainers") or ()
    sidecars = [item for item in starting if item.get("restartPolicy") == "Always"]
    for container in (*spec.get("containers", ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or _ANY_ADDRESS, port.get("protocol") or "TCP", port["hostPort"]


def _fit(pod: Object, running: list[Object], node: NodeCapacity) -> Rejection | None:
    for short in shortages(pod, running, node):
        text = f"requested: {short.requested}, used: {short.used}, capacity: {short.capacity}"
        words = f"Node didn't have enough resource: {short.resource}, {text}"
        return Rejection(f"{OUT_OF}{short.resource}", words)
    return None


def shortages(pod: Object, others: Iterable[Object], node: NodeCapacity) -> Iterator[Shortage]:
    """Yield what a pod finds too little of beside the others."""
    running = [item for item in others if not finished(item)]
    limit = node.allocatable.get("pods")
    if limit is not None and len(running) + 1 > limit:
        yield Shortage("pods", 1, len(running), limit)
    for name, capacity in node.allocatable.items():
        if name == "pods":
            continue
        requested = pod_amount(pod, "requests", name)
        used = sum(pod_amount(item, "requests", name) for item in running) if requested else 0
        if requested and requested + used > capacity:
            yield Shortage(name, requested, used, capacity)
