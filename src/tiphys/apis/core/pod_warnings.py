"""What the API tells clients about pods that it lets through."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery import go_text, names
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.memo import Checked
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.address_warnings import ip_warnings
from tiphys.apis.core.containers import each_container
from tiphys.apis.core.path_warnings import overlapping_paths
from tiphys.apis.core.pod_creation import APP_ARMOR
from tiphys.apis.core.resource_validation import parse_amount
from tiphys.apis.defaulting import each, peek

_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region":
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone":
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type":
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods":
        "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}  # fmt: skip
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod":
        'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls":
        'non-functional in v1.11+; use the "sysctls" field instead',
}  # fmt: skip
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN = {"storageos": "storageOS"}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_USE_FIELD = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_POD_NAMES = (
    "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
    "recommended"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def old_node_label(label: str) -> str:
    """Return what to say of a label of nodes that has a newer name, or none."""
    return _OLD_NODE_LABELS.get(label, "")


def _placement(spec: Object, path: str) -> Iterator[str]:
    for key in sorted(peek(spec, "nodeSelector")):
        if old_node_label(key):
            yield f"{path}.nodeSelector[{key}]: {old_node_label(key)}"
    at = f"{path}.affinity.nodeAffinity"
    affinity = peek(spec, "affinity", "nodeAffinity")
    for index, term in enumerate(each(affinity, _REQUIRED, "nodeSelectorTerms")):
        yield from term_warnings(term, f"{at}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, weighted in enumerate(each(affinity, _PREFERRED)):
        preferred = f"{at}.{_PREFERRED}[{index}].preference"
        yield from term_warnings(peek(weighted, "preference"), preferred, reads_values=True)
    for index, constraint in enumerate(each(spec, "topologySpreadConstraints")):
        at, key = f"{path}.topologySpreadConstraints[{index}]", str(constraint.get("topologyKey"))
        if old_node_label(key):
            yield f"{at}.topologyKey: {key} is {old_node_label(key)}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"


def term_warnings(term: Object, path: str, *, reads_values: bool = False) -> Iterator[str]:
    """Yield what is to be said of the labels that a term of a node selector names, and of values none has."""
    for index, expression in enumerate(each(term, "matchExpressions")):
        key = str(expression.get("key"))
        if old_node_label(key):
            yield f"{path}.matchExpressions[{index}].key: {key} is {old_node_label(key)}"
        for at, value in enumerate(expression.get("values") or () if reads_values else ()):
            for text in names.is_label_value(str(value)):
                yield f"{path}.matchExpressions[{index}].values[{at}]: {value} is invalid, {text}"


def _volumes(spec: Object, path: str) -> Iterator[str]:
    for index, volume in enumerate(each(spec, "volumes")):
        for key, text in _OLD_VOLUMES.items():
            if volume.get(key) is not None:
                said = "deprecated in v1.11" if key == "gitRepo" and on("GitRepoVolumeDriver") else text
                yield f"{path}.volumes[{index}].{_SHOWN.get(key, key)}: {said}"
        claim = peek(volume, "ephemeral", "volumeClaimTemplate", "spec")
        at = f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec"
        for kind in ("requests", "limits"):
            yield from fractions(peek(claim, "resources", kind), f"{at}.resources.{kind}", ("storage",))
    yield from overlapping_paths(spec)


def fractions(amounts: Object, path: str, known: tuple[str, ...]) -> Iterator[str]:
    """Yield what is to be said of amounts of bytes that are no whole numbers."""
    for name in known:
        parsed = parse_amount(amounts[name]) if name in amounts else None
        if parsed is not None and parsed.milli() % 1000:
            yield f'{path}[{name}]: fractional byte value "{parsed}" is invalid, must be an integer'


def _lists(spec: Object, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, alias in enumerate(each(spec, "hostAliases")):
        address = str(alias.get("ip"))
        if address in seen:
            yield f'{path}.hostAliases[{index}].ip: duplicate ip "{address}"'
        seen.add(address)
    seen = set()
    for index, secret in enumerate(each(spec, "imagePullSecrets")):
        name = str(secret.get("name") or "")
        if name in seen:
            yield f'{path}.imagePullSecrets[{index}].name: duplicate name "{name}"'
        seen.add(name)
    for index, secret in enumerate(each(spec, "imagePullSecrets")):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    bytes_of = ("memory", "ephemeral-storage")
    yield from fractions(peek(spec, "overhead"), f"{path}.overhead", bytes_of)


def _profiles(spec: Object, annotations: Object, path: str, at: str) -> Iterator[str]:
    """Annotations that fields have replaced; ``at`` is the path of the annotations."""
    pod = peek(spec, "securityContext")
    if _SECCOMP_POD in annotations and pod.get("seccompProfile") is None:
        yield f"{at}[{_SECCOMP_POD}]: {_USE_FIELD}"
    for where, container in each_container(spec, path):
        security, name = peek(container, "securityContext"), container.get("name")
        key = f"{_SECCOMP}{name}"
        if key in annotations and security.get("seccompProfile") is None:
            yield f"{at}[{key}]: {_USE_FIELD}"
        key = f"{APP_ARMOR}{name}"
        given = security.get("appArmorProfile") or pod.get("appArmorProfile")
        # Of a new pod that is told where the annotation becomes a field.
        if path != "spec" and key in annotations and given is None:
            yield f'{at}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'
        yield from _container(container, where)


def _container(container: Object, path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage"):
        for kind in ("limits", "requests"):
            amounts = peek(container, "resources", kind)
            yield from fractions(amounts, f"{path}.resources.{kind}", (name,))
    seen: set[str] = set()
    for index, env in enumerate(each(container, "env")):
        name, value = str(env.get("name")), str(env.get("value") or "")
        itself = f"$({name})"
        extends = env.get("valueFrom") is None and value != itself and itself in value
        if name in seen and not extends:
            yield (
                f'{path}.env[{index}]: hides previous definition of "{name}", '
                "which may be dropped when using apply"
            )
        seen.add(name)


def _ports(spec: Object, path: str) -> Iterator[str]:
    """Ports of one number and protocol in all containers, init containers too."""
    known: dict[tuple[object, object], list[tuple[str, Object]]] = {}
    for where, container in each_container(spec, path):
        for index, port in enumerate(each(container, "ports")):
            at, key = f"{where}.ports[{index}]", (port.get("containerPort"), port.get("protocol") or "TCP")
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{at}: hostIP set without hostPort: {_shown_port(port)}"
            for other_at, other in known.get(key, ()):
                what = _clash(port, other)
                if what:
                    yield f"{at}: {what} port definition with {other_at}"
            known.setdefault(key, []).append((at, port))


def _port_names(spec: Object, path: str) -> Iterator[str]:
    known: dict[str, str] = {}
    for where, container in each_container(spec, path):
        for index, port in enumerate(each(container, "ports")):
            at, name = f"{where}.ports[{index}]", str(port.get("name") or "")
            other = known.setdefault(name, at) if name else at
            if other != at:
                yield (
                    f"{at}: duplicate port name {go_text.quoted(name)} with {other}, services and probes "
                    f"that select ports by name will use {other}"
                )


def _shown_port(port: Object) -> str:
    return (
        f"{{Name:{port.get('name') or ''} HostPort:0 ContainerPort:{port.get('containerPort')} "
        f"Protocol:{port.get('protocol') or 'TCP'} HostIP:{port.get('hostIP')}}}"
    )


def _clash(port: Object, other: Object) -> str:
    ip, number = port.get("hostIP") or "", port.get("hostPort") or 0
    other_ip, other_number = other.get("hostIP") or "", other.get("hostPort") or 0
    if (ip, number) == (other_ip, other_number):
        return "duplicate"
    if not number or not other_number:
        return "overlapping"
    one_open = bool(ip) != bool(other_ip)
    return "dangerously ambiguous" if one_open and number == other_number else ""


def spec_warnings(spec: Object, path: str, annotations: Object | None = None, at: str = "") -> list[str]:
    """Return the warnings about a pod's spec and annotations, in a pod or a template."""
    held = annotations or {}
    found = list(_placement(spec, path))
    found += [f"{at}[{key}]: {text}" for key, text in _OLD_ANNOTATIONS.items() if key in held]
    found += _volumes(spec, path)
    found += _lists(spec, path)
    found += _profiles(spec, held, path, at)
    found += [*_ports(spec, path), *_port_names(spec, path)]
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        found.append(f"{path}.terminationGracePeriodSeconds: {text}")
    return [*found, *_affinity(spec, path), *_addresses(spec, path)]


def _addresses(spec: Object, path: str) -> Iterator[str]:
    for index, server in enumerate(peek(spec, "dnsConfig").get("nameservers") or ()):
        yield from ip_warnings(f"{path}.dnsConfig.nameservers[{index}]", str(server))
    for index, alias in enumerate(each(spec, "hostAliases")):
        yield from ip_warnings(f"{path}.hostAliases[{index}].ip", str(alias.get("ip")))


def _affinity(spec: Object, path: str) -> Iterator[str]:
    text = "a null labelSelector results in matching no pod"
    for kind in ("podAffinity", "podAntiAffinity"):
        part, at = peek(spec, "affinity", kind), f"{path}.affinity.{kind}"
        for index, term in enumerate(each(part, _REQUIRED)):
            if term.get("labelSelector") is None:
                yield f"{at}.{_REQUIRED}[{index}].labelSelector: {text}"
        for index, weighted in enumerate(each(part, _PREFERRED)):
            if peek(weighted, "podAffinityTerm").get("labelSelector") is None:
                yield f"{at}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {text}"


_own_spec_warnings = Checked(lambda spec: spec_warnings(spec, "spec"))


def pod_warnings(pod: Object, old: Object | None) -> list[str]:
    """Return the warnings about a new Pod; nobody reads those of changes, which are frequent."""
    if old is not None:
        return []
    spec, annotations = peek(pod, "spec"), peek(pod, "metadata", "annotations")
    # Annotations count together with the spec: only where there are none does it say all.
    found = (
        spec_warnings(spec, "spec", annotations, "metadata.annotations")
        if annotations
        else _own_spec_warnings(spec)
    )
    name = str(peek(pod, "metadata").get("name") or "")
    faults = names.is_dns1123_label(name) if name else []
    if not faults:
        return found
    text = (
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        f"a DNS label is recommended: [{' '.join(faults)}]"
    )
    return [text, *found]


def unchanged(obj: Object, old: Object | None) -> bool:
    """Whether an update leaves all but metadata and status as it was."""
    if old is None:
        return False
    now, before = (peek(one, "metadata").get("generation") for one in (obj, old))
    return bool(now == before)


def template_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about the template of a workload, unless it stays as it is."""
    if unchanged(obj, old):
        return []
    spec, path = peek(obj, "spec"), "spec.template"
    template = peek(spec, "template")
    if "jobTemplate" in spec:
        template, path = peek(spec, "jobTemplate", "spec", "template"), "spec.jobTemplate.spec.template"
    annotations = peek(template, "metadata", "annotations")
    return spec_warnings(peek(template, "spec"), f"{path}.spec", annotations, f"{path}.metadata.annotations")


def name_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a new workload's name, which is in its pods' names."""
    name = str(peek(obj, "metadata").get("name") or "")
    texts = names.is_dns1123_label(name) if old is None and name else []
    return [f"metadata.name: {_POD_NAMES}: [{' '.join(texts)}]"] if texts else []


def named_template_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a workload's name and template."""
    return name_warnings(obj, old) + template_warnings(obj, old)
