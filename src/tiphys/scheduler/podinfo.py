"""What the scheduler needs of a pod, read once: requests, tolerations, affinity terms, ports.

Pure. A ``PodInfo`` is made when a pod is first seen and shared by the queue, the columns and the plugins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object, object_key

CPU = "cpu"
_DEFAULT_WEIGHT = 1
_READ_KEPT = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One affinity term or spread constraint's reach: which pods, in which namespaces, per which topology.

    Terms of one text are one column of counts, so ``id`` (canonical JSON) is the identity.
    """

    id: bytes
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None
    topology_key: str
    weight: int = 0
    lasting: bool = False
    """Pods that are being deleted do not count (topology spread)."""
    also: tuple[Term, ...] = ()
    """Terms that must speak of the same pod (required affinity with several terms)."""

    @property
    def looks_at_namespaces(self) -> bool:
        """Whether it depends on labels of namespaces."""
        return self.namespace_selector is not None or any(one.looks_at_namespaces for one in self.also)

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and other.id == self.id

    def matches(
        self, namespace: str, labels: dict[str, str], namespace_labels: dict[str, dict[str, str]]
    ) -> bool:
        """Say whether a pod with ``labels`` in ``namespace`` is one the term speaks of."""
        if namespace not in self.namespaces:
            selector = self.namespace_selector
            if selector is None or not selector.matches(namespace_labels.get(namespace, {})):
                return False
        return self.selector.matches(labels) and all(
            one.matches(namespace, labels, namespace_labels) for one in self.also
        )


@lru_cache(maxsize=_READ_KEPT)
def jointly(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Return the terms, each of which speaks only of pods that all of them speak of."""
    if len(terms) < 2:
        return terms
    whole = b"\0".join(term.id for term in terms)
    return tuple(
        replace(term, id=b"%b\n%b" % (term.id, whole), also=tuple(one for one in terms if one is not term))
        for term in terms
    )


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One entry of ``topologySpreadConstraints``."""

    term: Term
    max_skew: int
    hard: bool
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(slots=True, eq=False)
class PodInfo:
    """One pod as plugins see it. ``requests`` is in milli-units for cpu, whole units for the rest."""

    pod: Object
    key: str
    uid: str
    namespace: str
    labels: dict[str, str]
    priority: int
    requests: dict[str, int]
    nonzero_cpu: int
    nonzero_memory: int
    tolerations: list[dict[str, Any]]
    node_selector: dict[str, str]
    node_affinity: dict[str, Any]
    ports: frozenset[tuple[str, str, int]]
    images: tuple[str, ...]
    affinity: tuple[Term, ...] = ()
    anti_affinity: tuple[Term, ...] = ()
    preferred: tuple[Term, ...] = ()
    """Preferred affinity (positive weight) and anti-affinity (negative weight)."""
    spread: tuple[SpreadConstraint, ...] = ()
    terminating: bool = False
    tolerance: bytes = b""
    """Pods of one tolerance are the same to every taint."""
    reach: bytes = b""
    """Pods of one reach (selector and node affinity) are the same to every label of nodes."""
    group: bytes = b""
    """Pods of one group are the same to every term."""
    claims: tuple[tuple[str, bool], ...] = ()
    """PersistentVolumeClaims by name, and whether the pod's own ephemeral volume makes them."""
    claim_keys: tuple[str, ...] = ()
    """The same claims by the key of their objects."""
    nominated: str = ""

    @property
    def shape(self) -> tuple[bytes, bytes]:
        """Pods of one shape get the same static masks."""
        return self.tolerance, self.reach


NONZERO_CPU_MILLI = 100
NONZERO_MEMORY_BYTES = 200 * 1024 * 1024


def milli_or_value(resource: str, text: Any) -> int:
    """Return a quantity as the column of ``resource`` counts it."""
    return _counted(resource, str(text))


@lru_cache(maxsize=4096)
def _counted(resource: str, text: str) -> int:
    amount = quantity.parse(text)
    return amount.milli() if resource == CPU else amount.value()


def _requests_of(container: dict[str, Any]) -> dict[str, int]:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {name: milli_or_value(name, text) for name, text in requests.items()}


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def pod_requests(spec: dict[str, Any]) -> dict[str, int]:
    """Return what a pod needs: containers and sidecars together, or its largest init step, plus overhead.

    Source: KEP-753 (sidecar containers), KEP-2837 (pod-level resources).
    """
    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(running, _requests_of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        own = _requests_of(container)
        if container.get("restartPolicy") == "Always":
            _add(running, own)
            _add(sidecars, own)
            step = sidecars
        else:
            step = dict(sidecars)
            _add(step, own)
        for name, amount in step.items():
            peak[name] = max(peak.get(name, 0), amount)
    total = {name: max(running.get(name, 0), peak.get(name, 0)) for name in running.keys() | peak.keys()}
    total.update(_requests_of(spec))
    for name, text in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, 0) + milli_or_value(name, text)
    return total


Held = tuple[tuple[str, Any, Any], ...]
"""By container: what its node has promised it, and what it runs with. The pod as a whole has no name."""


def held_resources(pod: Object) -> Held:
    """Return what the node says that the pod and its containers have."""
    status = pod.get("status") or {}
    return _held_whole(pod["spec"], status) + tuple(
        (item["name"], item.get("allocatedResources"), item["resources"].get("requests"))
        for key in ("initContainerStatuses", "containerStatuses")
        for item in status.get(key) or ()
        if item.get("resources") is not None
    )


def _held_whole(spec: dict[str, Any], status: dict[str, Any]) -> Held:
    names = ((spec.get("resources") or {}).get("requests") or {}).keys()
    if not names or status.get("resources") is None:
        return ()
    promised, actual = (
        kind and {name: kind[name] for name in names if name in kind}
        for kind in (status.get("allocatedResources"), status["resources"].get("requests"))
    )
    return (("", promised, actual),)


def resize_is_infeasible(pod: Object) -> bool:
    """Whether the node has said that it can never give what the pod asks for now."""
    return any(
        item.get("type") == "PodResizePending" and item.get("reason") == "Infeasible"
        for item in (pod.get("status") or {}).get("conditions") or ()
    )


def occupied(pod: Object) -> dict[str, int]:
    """Return what a pod takes of its node: while it is resized, the most of what it asks for and has.

    Source: KEP-1287, scheduling of pods that are resized.
    """
    spec = pod["spec"]
    asked = pod_requests(spec)
    held = {name: (promised, actual) for name, promised, actual in held_resources(pod)}
    if not any(_differs(spec, held, index) for index in (0, 1)):
        return asked
    views = [pod_requests(_as_held(spec, held, index)) for index in (0, 1)]
    if not resize_is_infeasible(pod):
        views.append(asked)
    return {name: max(view.get(name, 0) for view in views) for name in {*views[0], *views[1], *views[-1]}}


def is_resized(old: Object, new: Object) -> bool:
    """Say whether a pod asks for other amounts than before, or has others, or began to end."""
    before, after = old["metadata"], new["metadata"]
    ends = bool(before.get("deletionTimestamp")) != bool(after.get("deletionTimestamp"))
    if ends or any(old["spec"].get(key) != new["spec"].get(key) for key in ("containers", "resources")):
        return True
    has = held_resources(new)
    # What a container is said to have first is what it asked for: nothing to count again.
    changed = has != held_resources(old) and occupied(old) != occupied(new)
    return changed or resize_is_infeasible(old) != resize_is_infeasible(new)


def _differs(spec: dict[str, Any], held: dict[str, tuple[Any, Any]], index: int) -> bool:
    return any(
        (found := held.get(item.get("name", ""), (None, None))[index]) is not None
        and found != ((item.get("resources") or {}).get("requests") or {})
        for item in (spec, *(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    )


def _as_held(spec: dict[str, Any], held: dict[str, tuple[Any, Any]], index: int) -> dict[str, Any]:
    """Return a spec that asks for what pod and containers have; others, and what is not said, as written."""

    def view(item: dict[str, Any]) -> dict[str, Any]:
        found = held.get(item.get("name", ""), (None, None))[index]
        return item if found is None else {**item, "resources": {"requests": found}}

    keys = ("initContainers", "containers")
    return {**view(spec), **{key: [view(item) for item in spec.get(key) or ()] for key in keys}}


def _term(
    raw: dict[str, Any], namespace: str, *, weight: int = 0, labels: dict[str, str], lasting: bool = False
) -> Term:
    given = raw.get("labelSelector")
    selector = dict(given or {})
    expressions = list(selector.get("matchExpressions") or ())
    for keys, operator in ((raw.get("matchLabelKeys"), "In"), (raw.get("mismatchLabelKeys"), "NotIn")):
        expressions += [
            {"key": key, "operator": operator, "values": [labels[key]]} for key in keys or () if key in labels
        ]
    if expressions:
        selector["matchExpressions"] = expressions
    wanted = None if given is None and not expressions else selector  # of no selector at all: nobody
    has_namespaces = bool(raw.get("namespaces")) or raw.get("namespaceSelector") is not None
    namespaces = frozenset(raw.get("namespaces") or ()) if has_namespaces else frozenset({namespace})
    own = raw.get("namespaceSelector")
    identity = orjson.dumps(
        [wanted, sorted(namespaces), own, raw.get("topologyKey"), weight, lasting],
        option=orjson.OPT_SORT_KEYS,
    )
    return Term(
        id=identity,
        selector=from_label_selector(wanted),
        namespaces=namespaces,
        namespace_selector=None if own is None else from_label_selector(own),
        topology_key=str(raw.get("topologyKey") or ""),
        weight=weight,
        lasting=lasting,
    )


_PodTerms: TypeAlias = tuple[tuple[Term, ...], tuple[Term, ...], tuple[Term, ...]]


def _affinity_terms(affinity: dict[str, Any], namespace: str, labels: dict[str, str]) -> _PodTerms:
    """Read required affinity, required anti-affinity and the preferred terms of both."""
    if not affinity.get("podAffinity") and not affinity.get("podAntiAffinity"):
        return (), (), ()
    # Pods of one template say the same: what was read once is shared.
    return _read_affinity(orjson.dumps([affinity, namespace, labels]))


@lru_cache(maxsize=_READ_KEPT)
def _read_affinity(text: bytes) -> _PodTerms:
    affinity, namespace, labels = orjson.loads(text)
    required: list[tuple[Term, ...]] = []
    preferred: list[Term] = []
    for field_name, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        part = affinity.get(field_name) or {}
        terms = part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        required.append(tuple(_term(raw, namespace, labels=labels) for raw in terms))
        for entry in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            weight = sign * int(entry.get("weight", _DEFAULT_WEIGHT))
            preferred.append(_term(entry["podAffinityTerm"], namespace, weight=weight, labels=labels))
    return required[0], required[1], tuple(preferred)


def read_spread(
    constraints: Sequence[dict[str, Any]], namespace: str, labels: dict[str, str]
) -> tuple[SpreadConstraint, ...]:
    """Read ``topologySpreadConstraints`` of a pod with these labels."""
    return _read_spread(orjson.dumps([constraints, namespace, labels])) if constraints else ()


@lru_cache(maxsize=_READ_KEPT)
def _read_spread(text: bytes) -> tuple[SpreadConstraint, ...]:
    constraints, namespace, labels = orjson.loads(text)
    return tuple(
        SpreadConstraint(
            term=_term(raw, namespace, labels=labels, lasting=True),
            max_skew=int(raw["maxSkew"]),
            hard=raw.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
            min_domains=int(raw.get("minDomains") or 1),
            honor_affinity=raw.get("nodeAffinityPolicy", "Honor") == "Honor",
            honor_taints=raw.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )
        for raw in constraints
    )


def _ports(spec: dict[str, Any]) -> frozenset[tuple[str, str, int]]:
    """Return the host ports of what runs as long as the pod does."""
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in [*(spec.get("containers") or ()), *sidecars]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _images(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return all that a node must have pulled before the pod runs there."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    volumes = [volume["image"] for volume in spec.get("volumes") or () if volume.get("image")]
    return (
        *(container.get("image") or "" for container in containers),
        *(image.get("reference") or "" for image in volumes),
    )


def _nonzero(spec: dict[str, Any], requests: dict[str, int], name: str, least: int) -> int:
    missing = sum(
        1
        for container in spec.get("containers") or ()
        if name not in ((container.get("resources") or {}).get("requests") or {})
    )
    return requests.get(name, 0) + missing * least


def _claims(pod: Object) -> tuple[tuple[str, bool], ...]:
    found: dict[str, bool] = {}
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found[volume["persistentVolumeClaim"]["claimName"]] = False
        elif volume.get("ephemeral"):
            found[f"{pod['metadata']['name']}-{volume['name']}"] = True
    return tuple(found.items())


def _reach(selector: dict[str, str], affinity: dict[str, Any]) -> bytes:
    return orjson.dumps([selector, affinity], option=orjson.OPT_SORT_KEYS) if selector or affinity else b""


def _group(namespace: str, labels: dict[str, str], *, terminating: bool) -> bytes:
    return orjson.dumps([namespace, labels, terminating], option=orjson.OPT_SORT_KEYS)


def relabelled(info: PodInfo, pod: Object) -> PodInfo:
    """Return what is known of a pod, now that it has other labels and is otherwise the same."""
    labels = pod["metadata"].get("labels") or {}
    group = _group(info.namespace, labels, terminating=info.terminating)
    return replace(info, pod=pod, labels=labels, group=group)


def pod_info(pod: Object) -> PodInfo:
    """Read a pod (any phase, bound or not)."""
    spec, meta = pod["spec"], pod["metadata"]
    namespace = meta.get("namespace") or ""
    labels = meta.get("labels") or {}
    affinity = spec.get("affinity") or {}
    required, anti, preferred = _affinity_terms(affinity, namespace, labels)
    requests = occupied(pod)
    terminating = bool(meta.get("deletionTimestamp"))
    node_affinity = affinity.get("nodeAffinity") or {}
    tolerations = spec.get("tolerations") or []
    node_selector = spec.get("nodeSelector") or {}
    claims = _claims(pod)
    return PodInfo(
        pod=pod,
        key=object_key(pod),
        uid=meta.get("uid") or object_key(pod),
        namespace=namespace,
        labels=labels,
        priority=int(spec.get("priority") or 0),
        requests={name: amount for name, amount in requests.items() if amount},
        nonzero_cpu=_nonzero(spec, requests, CPU, NONZERO_CPU_MILLI),
        nonzero_memory=_nonzero(spec, requests, "memory", NONZERO_MEMORY_BYTES),
        tolerations=tolerations,
        node_selector=node_selector,
        node_affinity=node_affinity,
        ports=_ports(spec),
        images=_images(spec),
        affinity=required,
        anti_affinity=anti,
        preferred=preferred,
        spread=read_spread(spec.get("topologySpreadConstraints") or (), namespace, labels),
        tolerance=orjson.dumps(tolerations, option=orjson.OPT_SORT_KEYS),
        reach=_reach(node_selector, node_affinity),
        claims=claims,
        claim_keys=tuple(f"{namespace}/{name}" for name, _ in claims),
        terminating=terminating,
        group=_group(namespace, labels, terminating=terminating),
        nominated=str((pod.get("status") or {}).get("nominatedNodeName") or ""),
    )
