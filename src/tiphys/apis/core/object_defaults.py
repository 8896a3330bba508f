"""Defaults and resets of core kinds other than pods, services and volumes."""

from __future__ import annotations

import base64
import copy

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.amount_defaults import round_amounts
from tiphys.apis.core.pod_defaults import default_template
from tiphys.apis.core.volume_defaults import default_claim_spec, default_source
from tiphys.apis.defaulting import drop, each, fill, fill_optional, peek, restore, section, show

_OLD_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
NAME_LABEL = "kubernetes.io/metadata.name"
_SYSTEM = dict.fromkeys(
    (
        "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
        "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture",
    ),
    "",
)  # fmt: skip


def default_replication_controller(controller: Object) -> None:
    """Complete a ReplicationController: labels and selector follow the template's labels."""
    spec = section(controller, "spec")
    template = spec.get("template")
    if isinstance(template, dict):
        default_template(template)
        labels = template["metadata"].get("labels")
        if labels:
            fill(spec, "selector", dict(labels))
            fill(section(controller, "metadata"), "labels", dict(labels))
    fill_optional(spec, "replicas", 1)


def prepare_replication_controller(controller: Object) -> None:
    """A new ReplicationController has no replicas."""
    controller["status"] = {"replicas": 0}


def prepare_service(service: Object) -> None:
    """A new Service has no load balancer yet."""
    service["status"] = {"loadBalancer": {}}


def prepare_account(account: Object) -> None:
    """Of the secrets that an account may use only the names are kept."""
    if account.get("secrets"):
        account["secrets"] = [{"name": secret.get("name") or ""} for secret in each(account, "secrets")]


def default_pod_template(obj: Object) -> None:
    """Complete a PodTemplate."""
    default_template(section(obj, "template"))


def default_secret(secret: Object) -> None:
    """Give a Secret its type, and move ``stringData`` into ``data``."""
    fill(secret, "type", "Opaque")
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict) and plain:
        data = section(secret, "data")
        for key, text in plain.items():
            data[key] = base64.b64encode(str(text or "").encode()).decode()


def default_namespace(namespace: Object) -> None:
    """Label a Namespace with its own name; one that says nothing of its phase is Active."""
    meta = section(namespace, "metadata")
    if meta.get("name"):
        section(meta, "labels")[NAME_LABEL] = meta["name"]
    status = section(namespace, "status")
    status["phase"] = status.get("phase") or "Active"


def prepare_namespace(namespace: Object) -> None:
    """A new Namespace is Active and is emptied before it goes."""
    namespace["status"] = {"phase": "Active"}
    finalizers = section(namespace, "spec").setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    default_namespace(namespace)


def prepare_namespace_update(new: Object, old: Object) -> None:
    """Finalizers change through ``finalize`` only."""
    restore(section(new, "spec"), old.get("spec") or {}, "finalizers")


def default_node(node: Object) -> None:
    """The range of a node's pods is the first of its ranges, whichever of the two somebody says."""
    spec = peek(node, "spec")
    first, listed = spec.get("podCIDR"), spec.get("podCIDRs")
    if first and (not listed or listed[0] != first):
        spec["podCIDRs"] = [first]
    elif listed and not first:
        spec["podCIDR"] = listed[0]
    default_node_status(node)


def default_node_status(node: Object) -> None:
    """What a node has is what it can give, unless it says less. Its system is always shown."""
    status = section(node, "status")
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
    round_amounts(status, "capacity", "allocatable")
    status["daemonEndpoints"] = status.get("daemonEndpoints") or {"kubeletEndpoint": {"Port": 0}}
    known = status.get("nodeInfo") or {}
    if not _SYSTEM.keys() <= known.keys():
        status["nodeInfo"] = _SYSTEM | known


def prepare_node(node: Object) -> None:
    """A kubelet's configuration is no longer given through its node: a new node neither has nor tells one."""
    prepare_node_update(node, {})
    prepare_node_status(node, {})


def prepare_node_update(new: Object, old: Object) -> None:
    """What is there of it from earlier versions may stay and change."""
    if not peek(old, "spec").get("configSource"):
        peek(new, "spec").pop("configSource", None)


def prepare_node_status(new: Object, old: Object) -> None:
    """The same for what the kubelet says of it."""
    if not peek(old, "status").get("config"):
        peek(new, "status").pop("config", None)


def default_persistent_volume(volume: Object) -> None:
    """Complete a PersistentVolume."""
    spec = section(volume, "spec")
    round_amounts(spec, "capacity")
    fill(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill_optional(spec, "volumeMode", "Filesystem")
    default_source(spec)
    if isinstance(spec.get("azureFile"), dict):
        show(spec["azureFile"], "secretNamespace")
    if isinstance(volume.get("status"), dict):
        fill(volume["status"], "phase", "Pending")


def prepare_persistent_volume(volume: Object) -> None:
    """A new volume waits for the binder."""
    volume["status"] = {"phase": "Pending"}


def stamp_persistent_volume(new: Object, old: Object | None, now: str) -> None:
    """Say when the phase changed, unless whoever changed it has said so."""
    status, before, key = section(new, "status"), peek(old or {}, "status"), "lastPhaseTransitionTime"
    told = status.get(key)
    if old is None or status.get("phase") != before.get("phase"):
        status[key] = told if told and told != before.get(key) else now
    elif not told:
        restore(status, before, key)


def default_claim(claim: Object) -> None:
    """Complete a PersistentVolumeClaim."""
    spec = section(claim, "spec")
    default_claim_spec(spec)
    if isinstance(claim.get("status"), dict):
        fill(claim["status"], "phase", "Pending")
        round_amounts(claim["status"], "capacity", "allocatedResources")


def _mirror_data_source(spec: Object) -> None:
    """``dataSource`` and ``dataSourceRef`` say the same unless the latter crosses namespaces."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if isinstance(source, dict) and not isinstance(reference, dict):
        spec["dataSourceRef"] = copy.copy(source)
    elif isinstance(reference, dict) and not isinstance(source, dict) and not reference.get("namespace"):
        spec["dataSource"] = {key: reference[key] for key in ("apiGroup", "kind", "name") if key in reference}


def complete_stored_claim(claim: Object) -> None:
    """Older servers kept only the one of the two that was written."""
    _mirror_data_source(section(claim, "spec"))


def _settle_data_source(claim: Object, old: Object) -> None:
    """``dataSource`` alone names claims and snapshots only, where neither was there; a reference all."""
    spec, before = section(claim, "spec"), peek(old, "spec")
    source = peek(spec, "dataSource")
    known = (source.get("apiGroup") or "", source.get("kind")) in _OLD_SOURCES
    given = (spec.get("dataSourceRef"), before.get("dataSource"), before.get("dataSourceRef"))
    if "dataSource" in spec and not known and all(one is None for one in given):
        spec.pop("dataSource")
    _mirror_data_source(spec)


def prepare_claim(claim: Object) -> None:
    """A new claim waits for the binder."""
    claim["status"] = {"phase": "Pending"}
    _settle_data_source(claim, {})


def prepare_claim_update(new: Object, old: Object) -> None:
    """What a changed claim is filled with is said in both ways."""
    _settle_data_source(new, old)


def default_quota(quota: Object) -> None:
    """Complete a ResourceQuota."""
    round_amounts(quota.get("spec"), "hard")
    round_amounts(quota.get("status"), "hard", "used")


def default_limit_range(limits: Object) -> None:
    """Container limits left out follow from those given: maximum, then default, then minimum."""
    spec = section(limits, "spec")
    spec["limits"] = spec.get("limits") or None
    for item in each(limits, "spec", "limits"):
        round_amounts(item, "max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
        if item.get("type") != "Container":
            continue
        defaults = section(item, "default")
        for name, amount in (item.get("max") or {}).items():
            defaults.setdefault(name, amount)
        requests = section(item, "defaultRequest")
        for name, amount in defaults.items():
            requests.setdefault(name, amount)
        for name, amount in (item.get("min") or {}).items():
            requests.setdefault(name, amount)
        for key in ("default", "defaultRequest"):
            if not item[key]:
                drop(item, key)


def prepare_limit_range(limits: Object) -> None:
    """A new LimitRange that has no name is called by its uid."""
    meta = section(limits, "metadata")
    meta["name"] = meta.get("name") or meta.get("uid") or ""


def default_event(event: Object) -> None:
    """Core events always show their times and reporters, even when they are not known."""
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(key, None)
    section(event, "source")
    section(event, "involvedObject")
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")
