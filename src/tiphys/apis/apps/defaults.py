"""Defaults and initial statuses of the workload kinds of the ``apps`` group."""

from __future__ import annotations

from tiphys.apimachinery.atoi import atoi
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.object_defaults import default_claim
from tiphys.apis.core.pod_defaults import default_template
from tiphys.apis.defaulting import each, fill, fill_optional, peek, section
from tiphys.apis.outdated_annotations import TEMPLATE_GENERATION

_HISTORY = 10
_PROGRESS_DEADLINE_S = 600


def default_deployment(obj: Object) -> None:
    """Complete a Deployment."""
    spec = section(obj, "spec")
    default_template(section(spec, "template"))
    fill_optional(spec, "replicas", 1)
    strategy = section(spec, "strategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill_optional(rolling, "maxUnavailable", "25%")
        fill_optional(rolling, "maxSurge", "25%")
    fill_optional(spec, "revisionHistoryLimit", _HISTORY)
    fill_optional(spec, "progressDeadlineSeconds", _PROGRESS_DEADLINE_S)


def default_replica_set(obj: Object) -> None:
    """Complete a ReplicaSet."""
    spec = section(obj, "spec")
    default_template(section(spec, "template"))
    fill_optional(spec, "replicas", 1)


def default_daemon_set(obj: Object) -> None:
    """Complete a DaemonSet."""
    default_daemon_set_count(obj)
    spec = section(obj, "spec")
    default_template(section(spec, "template"))
    strategy = section(spec, "updateStrategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill_optional(rolling, "maxUnavailable", 1)
        fill_optional(rolling, "maxSurge", 0)
    fill_optional(spec, "revisionHistoryLimit", _HISTORY)


def default_daemon_set_count(obj: Object) -> None:
    """Whoever writes a DaemonSet without a count of its templates says that it is none."""
    if not peek(obj, "metadata", "annotations").get(TEMPLATE_GENERATION):
        _count_templates(obj, 0)


def _count_templates(obj: Object, count: int) -> None:
    """Write the count; annotations may be shared with what is cached."""
    meta = section(obj, "metadata")
    meta["annotations"] = {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(count)}


def default_stateful_set(obj: Object) -> None:
    """Complete a StatefulSet."""
    spec = section(obj, "spec")
    default_template(section(spec, "template"))
    fill(spec, "podManagementPolicy", "OrderedReady")
    strategy = section(spec, "updateStrategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill_optional(rolling, "partition", 0)
        if on("MaxUnavailableStatefulSet"):
            fill_optional(rolling, "maxUnavailable", 1)
    retention = section(spec, "persistentVolumeClaimRetentionPolicy")
    fill(retention, "whenDeleted", "Retain")
    fill(retention, "whenScaled", "Retain")
    fill_optional(spec, "replicas", 1)
    fill_optional(spec, "revisionHistoryLimit", _HISTORY)
    spec.setdefault("serviceName", "")
    if isinstance(spec.get("ordinals"), dict):
        fill_optional(spec["ordinals"], "start", 0)
    for claim in each(spec, "volumeClaimTemplates"):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        section(claim, "metadata")
        section(claim, "status")
        default_claim(claim)


def prepare_deployment(obj: Object) -> None:
    """A new Deployment has observed nothing."""
    obj["status"] = {}


def prepare_deployment_update(new: Object, old: Object) -> None:
    """Annotations count as well: replica sets get them."""
    meta, before = peek(new, "metadata"), peek(old, "metadata")
    if (meta.get("annotations") or {}) != (before.get("annotations") or {}):
        section(new, "metadata")["generation"] = int(before.get("generation") or 0) + 1


def prepare_replica_set(obj: Object) -> None:
    """A new ReplicaSet has no replicas."""
    obj["status"] = {"replicas": 0}


def prepare_stateful_set(obj: Object) -> None:
    """A new StatefulSet has no replicas."""
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def prepare_daemon_set(obj: Object) -> None:
    """A new DaemonSet runs nowhere; its template's generation starts at one, or at what it is given."""
    obj["status"] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }
    _count_templates(obj, max(_templates(obj), 1))


def prepare_daemon_set_update(new: Object, old: Object) -> None:
    """The template's generation grows when the template changes."""
    changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
    _count_templates(new, _templates(old) + changed)


def prepare_daemon_set_status(new: Object, old: Object) -> None:
    """Who writes the status changes no count of templates."""
    _count_templates(new, _templates(old))


def _templates(obj: Object) -> int:
    return atoi(str(peek(obj, "metadata", "annotations").get(TEMPLATE_GENERATION) or "")) or 0


def default_revision(revision: Object) -> None:
    """A revision without a number is the first of all."""
    revision.setdefault("revision", 0)
