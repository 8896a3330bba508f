"""Rules and strategies of the ``coordination.k8s.io`` group."""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.defaulting import peek
from tiphys.apis.strategy import Strategy
from tiphys.apis.value_validation import not_negative


def validate_lease(lease: Object) -> list[FieldError]:
    """Return every fault of a Lease."""
    spec = peek(lease, "spec")
    faults: list[FieldError] = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        faults.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    faults += not_negative(spec, "spec", "leaseTransitions")
    return faults


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
        allow_create_on_update=True,
        unconditional_update=False,
    ),
)
