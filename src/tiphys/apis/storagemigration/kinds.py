"""Rules and strategies of the ``storagemigration.k8s.io`` group."""

from __future__ import annotations

import re

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import IMMUTABLE, Struct, invalid, required
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import each, peek, section
from tiphys.apis.inside import immutable_inside
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import conditions

_IS_RESOURCE_VERSION = re.compile(r"[1-9][0-9]*", re.ASCII).fullmatch
_CONDITION = ("type", "status", "observedGeneration", "lastTransitionTime", "reason", "message")
_RUNS_ON = "Running condition cannot be true when {} condition is true"


def default_migration(obj: Object) -> None:
    """Core resources are in no group."""
    section(section(obj, "spec"), "resource").setdefault("group", "")


def validate_migration(obj: Object) -> list[FieldError]:
    """Return every fault of a StorageVersionMigration."""
    resource, path = peek(obj, "spec", "resource"), "spec.resource"
    faults: list[FieldError] = []
    name, group = resource.get("resource") or "", resource.get("group") or ""
    if not name:
        faults.append(required(f"{path}.resource", "resource is required to be set"))
    elif texts := names.is_dns1035_label(name):
        faults.append(invalid(f"{path}.resource", name, ",".join(texts)))
    if group and (texts := names.is_dns1123_subdomain(group)):
        faults.append(invalid(f"{path}.group", group, ",".join(texts)))
    return faults


def validate_migration_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a StorageVersionMigration; what it migrates never changes."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    return validate_migration(new) + immutable_inside("spec", "StorageVersionMigrationSpec", spec, before)


def validate_migration_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of what is told of a migration: how it ended stays so."""
    status, path = peek(new, "status"), "status.resourceVersion"
    version, before = status.get("resourceVersion") or "", peek(old, "status").get("resourceVersion")
    faults: list[FieldError] = []
    if not _IS_RESOURCE_VERSION(version):
        faults.append(invalid(path, version, f"resource version is not well formed: {version}"))
    faults += conditions(status, "status.conditions")
    if before and before != version:
        faults.append(invalid(path, version, IMMUTABLE))
    shown = [
        Struct({key: one.get(key) for key in _CONDITION if key != "observedGeneration" or one.get(key)})
        for one in each(status, "conditions")
    ]
    return faults + [invalid("status.conditions", shown, text) for text in _ends(_true(new), _true(old))]


def _true(obj: Object) -> set[str]:
    """Return which conditions hold; of two that are alike the first counts."""
    told = [(str(one.get("type")), one.get("status")) for one in each(obj, "status", "conditions")]
    return {kind for kind, status in dict(reversed(told)).items() if status == "True"}


def _ends(true: set[str], before: set[str]) -> list[str]:
    """What two conditions say of each other, or one of what it said before."""
    texts = []
    if {"Succeeded", "Failed"} <= true:
        texts.append("Both success and failed conditions cannot be true at the same time")
    ends = (("Succeeded", "success"), ("Failed", "failed"))
    texts += [_RUNS_ON.format(word) for kind, word in ends if {kind, "Running"} <= true]
    texts += [
        f"{word.capitalize()} condition cannot be set to false once it is true"
        for kind, word in ends
        if kind in before - true
    ]
    return texts


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("storagemigration.k8s.io", "v1beta1", "StorageVersionMigration"),
        default=default_migration,
        validate=validate_migration,
        validate_update=validate_migration_update,
        validate_status_update=validate_migration_status,
        unconditional_update=False,
    ),
)
