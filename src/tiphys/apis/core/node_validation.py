"""Rules of Nodes and Namespaces."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, forbidden, internal, invalid, invalid_all
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import cidr_faults, read_cidr
from tiphys.apis.core.affinity_validation import validate_taints
from tiphys.apis.core.legacy_annotations import validate_node_annotations
from tiphys.apis.core.legacy_node_config import node_config_faults
from tiphys.apis.core.resource_validation import quantity_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import POSITIVE

_IS_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*").fullmatch
_FEATURE_TEXT = (
    "start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def validate_node(node: Object) -> list[FieldError]:
    """Return every fault of a new Node."""
    faults = _annotations(node) + _taints(node) + _resources(node)
    swap = peek(node, "status", "nodeInfo", "swap").get("capacity")
    if swap is not None and swap <= 0:
        faults.append(invalid("metadata.nodeSwapStatus.capacity", swap, POSITIVE))
    faults += _features(list(peek(node, "status").get("declaredFeatures") or ()))
    return faults + _ranges(list(peek(node, "spec").get("podCIDRs") or ()), "spec.podCIDRs")


def _features(declared: list[str]) -> list[FieldError]:
    """What a node says it can do: names in order, each once."""
    faults: list[FieldError] = []
    for index, name in enumerate(declared):
        path = f"status.declaredFeatures[{index}]"
        if index and name == declared[index - 1]:
            faults.append(duplicate(path, name))
        elif index and name < declared[index - 1]:
            faults.append(invalid(path, name, "list must be sorted alphabetically"))
        shown = f"invalid feature name {json.dumps(name)}: must"
        if len(name) > names.SUBDOMAIN_MAX:
            faults.append(invalid(path, name, f"{shown} be no more than {names.SUBDOMAIN_MAX} characters"))
        elif not _IS_FEATURE(name):
            faults.append(invalid(path, name, f"{shown} {_FEATURE_TEXT}"))
    return faults


def _ranges(ranges: list[str], path: str) -> list[FieldError]:
    """A node has a range of each family at most."""
    faults = [fault for index, cidr in enumerate(ranges) for fault in cidr_faults(cidr, f"{path}[{index}]")]
    if len(ranges) < 2:
        return faults
    networks = [read_cidr(cidr)[0] for cidr in ranges]
    families = {network.version for network in networks if network is not None}
    if None in networks:
        place = networks.index(None)
        text = f"invalid CIDR[{place}]: <nil> (invalid CIDR address: {ranges[place]})"
        text = f"invalid PodCIDRs. failed to check with dual stack with error:{text}"
        faults.append(internal(path, text))
    if None in networks or len(families) < 2 or len(ranges) > 2:
        text = "may specify no more than one CIDR for each IP family"
        faults.append(invalid(path, ranges, text))
    return faults


def _annotations(node: Object) -> list[FieldError]:
    return validate_node_annotations(peek(node, "metadata", "annotations"), "metadata.annotations")


def _taints(node: Object) -> list[FieldError]:
    return validate_taints(list(each(node, "spec", "taints")), "metadata.taints")


def _resources(node: Object) -> list[FieldError]:
    return [
        fault
        for key in ("capacity", "allocatable")
        for name, value in peek(node, "status", key).items()
        for fault in quantity_faults(name, value, f"status.{key}.{name}")
    ]


def validate_node_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Node.

    As upstream does, all rules of a new one are told first, and some of them once more.
    """
    return validate_node(new) + validate_node_status(new, old)


def validate_node_status(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a Node's status."""
    spec, before = peek(new, "spec"), peek(old, "spec")
    faults = _annotations(new) + _resources(new)
    faults += _features(list(peek(new, "status").get("declaredFeatures") or ()))
    faults += _addresses(list(each(new, "status", "addresses")), "status.addresses")
    faults += _kept_ranges(spec.get("podCIDRs") or (), before.get("podCIDRs") or ())
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        faults.append(forbidden("spec.providerID", text))
    faults += node_config_faults(new) + _taints(new)
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        faults.append(forbidden("spec.externalID", "may not be updated"))
    return faults


def _addresses(addresses: list[Object], path: str) -> list[FieldError]:
    shown = [inside("NodeAddress", address) for address in addresses]
    return [
        duplicate(f"{path}[{index}]", address)
        for index, address in enumerate(shown)
        if address in shown[:index]
    ]


def _kept_ranges(now: Sequence[str], before: Sequence[str]) -> list[FieldError]:
    """Once a node has its ranges it keeps them; that is told once, or of each that differs."""
    if not before:
        return []
    count = 1 if len(now) != len(before) else sum(map(str.__ne__, now, before))
    text = 'node updates may not change podCIDR except from "" to valid'
    return [forbidden("spec.podCIDRs", text)] * count


def _finalizers(namespace: Object, path: str, *, indexed: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, name in enumerate(peek(namespace, "spec").get("finalizers") or ()):
        at = f"{path}[{index}]" if indexed else path
        faults += invalid_all(at, name, names.is_qualified_name(name))
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            faults.append(invalid(at, name, text))
    return faults


def validate_namespace(namespace: Object) -> list[FieldError]:
    """Return every fault of a new Namespace."""
    return _finalizers(namespace, "spec.finalizers", indexed=False)


def validate_namespace_finalize(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of the finalizers that a namespace is to have."""
    return _finalizers(new, "spec.finalizers", indexed=True)


def validate_namespace_status(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of a namespace's status: its phase says whether it is being deleted."""
    going = bool(peek(new, "metadata").get("deletionTimestamp"))
    phase, wanted = peek(new, "status").get("phase") or "", "Terminating" if going else "Active"
    if phase == wanted:
        return []
    when = "not empty" if going else "empty"
    return [invalid("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` is {when}")]
