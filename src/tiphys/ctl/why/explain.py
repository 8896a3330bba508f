"""The kinds that ``why`` knows, and the one door to their explanations."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client import kinds
from tiphys.ctl.layout import CtlError
from tiphys.ctl.why.claim import claim_findings
from tiphys.ctl.why.ingress import ingress_findings
from tiphys.ctl.why.namespace import namespace_findings
from tiphys.ctl.why.node import node_findings
from tiphys.ctl.why.pod import pod_findings
from tiphys.ctl.why.scene import Finding, Scene, conditions_of, section
from tiphys.ctl.why.service import service_findings
from tiphys.ctl.why.workload import job_findings, workload_findings


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that can be asked about: where it is served, its other names, who explains it."""

    gvr: GVR
    names: tuple[str, ...]
    explain: Callable[[Object, Scene], list[Finding]]
    namespaced: bool = True


def _workload(gvr: GVR, *names: str) -> Kind:
    return Kind(gvr, names, lambda obj, scene: workload_findings(obj, gvr.resource, scene))


KINDS = (
    Kind(kinds.PODS, ("pod", "po"), pod_findings),
    _workload(kinds.DEPLOYMENTS, "deployment", "deploy"),
    _workload(kinds.REPLICA_SETS, "replicaset", "rs"),
    _workload(kinds.STATEFUL_SETS, "statefulset", "sts"),
    _workload(kinds.DAEMON_SETS, "daemonset", "ds"),
    Kind(kinds.JOBS, ("job",), job_findings),
    Kind(kinds.SERVICES, ("service", "svc"), service_findings),
    Kind(kinds.INGRESSES, ("ingress", "ing"), ingress_findings),
    Kind(kinds.PERSISTENT_VOLUME_CLAIMS, ("persistentvolumeclaim", "pvc"), claim_findings),
    Kind(kinds.NODES, ("node", "no"), node_findings, namespaced=False),
    Kind(kinds.NAMESPACES, ("namespace", "ns"), namespace_findings, namespaced=False),
)


def kind_named(word: str) -> Kind | None:
    """Return the kind that ``word`` means, as kubectl would take it, if it has an explanation of its own."""
    low, _, rest = word.lower().partition(".")
    for kind in KINDS:
        if (low == kind.gvr.resource or low in kind.names) and rest in _full_names(kind.gvr):
            return kind
    return None


def _full_names(gvr: GVR) -> tuple[str, str, str]:
    return "", gvr.group, f"{gvr.version}.{gvr.group}"


def split_target(words: tuple[str, ...]) -> tuple[str, str]:
    """Read ``pod/web`` or ``pod web``. Raises CtlError."""
    parts = words[0].split("/", 1) if len(words) == 1 else list(words)
    if len(parts) != 2 or not all(parts) or "/" in parts[1]:
        raise CtlError("say what to explain as KIND/NAME, such as pod/web")
    return parts[0], parts[1]


def summary(obj: Object, kind: Kind, scene: Scene) -> str:
    """One line on what is asked about: ``pod shop/web: Pending, made 3m ago``."""
    meta, status = obj["metadata"], section(obj, "status")
    name = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
    state = (
        "being deleted" if meta.get("deletionTimestamp") else str(status.get("phase") or _counts(obj, kind))
    )
    age = scene.age(meta.get("creationTimestamp"))
    words = [word for word in (state, f"made {age} ago" if age else "") if word]
    return f"{kind.names[0]} {name}{': ' if words else ''}{', '.join(words)}"


def _counts(obj: Object, kind: Kind) -> str:
    spec, status = section(obj, "spec"), section(obj, "status")
    if "replicas" in spec:
        return f"{status.get('readyReplicas', 0)} of {spec['replicas']} ready"
    for condition in conditions_of(obj):
        if condition["type"] == "Ready":
            return "Ready" if condition.get("status") == "True" else "not ready"
    if kind.gvr.resource == "jobs":
        return f"{status.get('succeeded', 0)} of {spec.get('completions', 1)} done"
    if "desiredNumberScheduled" in status:
        return f"{status.get('numberReady', 0)} of {status['desiredNumberScheduled']} ready"
    return ""
