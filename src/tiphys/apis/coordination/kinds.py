"""Rules and strategies of the ``coordination.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.cel.library.semvers import SemverValue, compare, parse_version
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import (
    forbidden,
    immutable,
    invalid,
    invalid_all,
    not_supported,
    required,
)
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import peek
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import not_negative

_OLDEST = "OldestEmulationVersion"
_NONE = parse_version("0.0.0")


def validate_lease(lease: Object) -> list[FieldError]:
    """Return every fault of a Lease."""
    spec = peek(lease, "spec")
    faults: list[FieldError] = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        faults.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    faults += not_negative(spec, "spec", "leaseTransitions")
    strategy = spec.get("strategy")
    if strategy is not None:
        faults += _strategy(strategy, "spec.strategy")
    if spec.get("preferredHolder") and not strategy:
        faults.append(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return faults


def _strategy(strategy: str, path: str) -> list[FieldError]:
    # The API's own path names the field twice.
    at = f"{path}.strategy"
    if "/" in strategy:
        return invalid_all(at, strategy, names.is_qualified_name(strategy))
    return [] if strategy == _OLDEST else [not_supported(at, strategy, (_OLDEST,))]


def _version(text: str, path: str) -> tuple[SemverValue, list[FieldError]]:
    """What is no version counts as the lowest one."""
    if not text:
        return _NONE, []
    try:
        return parse_version(text), []
    except ValueError:
        return _NONE, [invalid(path, text, "must be a valid semantic version")]


def validate_lease_candidate(obj: Object) -> list[FieldError]:
    """Return every fault of a LeaseCandidate."""
    spec = peek(obj, "spec")
    strategy, binary = spec.get("strategy") or "", spec.get("binaryVersion") or ""
    faults = [] if spec.get("leaseName") else [required("spec.leaseName")]
    emulated, wrong = _version(spec.get("emulationVersion") or "", "spec.emulationVersion")
    faults += wrong
    own, wrong = _version(binary, "spec.binaryVersion")
    faults += wrong if binary else [required("spec.binaryVersion")]
    if binary and compare(own, emulated) < 0:
        text = "must be greater than or equal to `emulationVersion`"
        faults.append(invalid("spec.binaryVersion", binary, text))
    if not strategy:
        return [*faults, required("spec.strategy")]
    if strategy == _OLDEST and compare(emulated, _NONE) == 0:
        text = f"must be specified when `strategy` is '{_OLDEST}'"
        faults.append(required("spec.emulationVersion", text))
    return faults + _strategy(strategy, "spec.strategy")


def validate_lease_candidate_update(new: Object, old: Object) -> list[FieldError]:
    """Return every fault of replacing a LeaseCandidate, which stays with its lease."""
    name, before = peek(new, "spec").get("leaseName"), peek(old, "spec").get("leaseName")
    return validate_lease_candidate(new) + immutable("spec.leaseName", name, before)


def validate_lease_update(new: Object, _old: Object) -> list[FieldError]:
    """Return every fault of replacing a Lease."""
    return validate_lease(new)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("coordination.k8s.io", "v1", "Lease"),
        validate=validate_lease,
        validate_update=validate_lease_update,
        allow_create_on_update=True,
        unconditional_update=False,
    ),
    Strategy(
        GVK("coordination.k8s.io", "v1beta1", "LeaseCandidate"),
        validate=validate_lease_candidate,
        validate_update=validate_lease_candidate_update,
        validate_name=names.is_config_map_key,
        allow_create_on_update=True,
        unconditional_update=False,
    ),
)
