"""What a schema cannot say of a kind: defaults, what create and update reset, validation, warnings.

``apis/<group>/`` modules make a ``Strategy`` for each of their kinds; ``apis.strategies`` lists them all.
All of it is pure. Functions that default or prepare change the object they are given (it is the request's
own, never a cached one); validation only reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object


def nothing(_obj: Object) -> None:
    """Leave the object as it is."""


def _nothing_update(_new: Object, _old: Object) -> None:
    """Leave the object as it is."""


def _no_stamp(_new: Object, _old: Object | None, _now: str) -> None:
    """Leave the object as it is."""


def _no_faults(_obj: Object) -> list[FieldError]:
    return []


def _no_update_faults(_new: Object, _old: Object) -> list[FieldError]:
    return []


def _no_warnings(_obj: Object, _old: Object | None) -> list[str]:
    return []


USERS_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
"""What users write of an object's metadata."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One kind's rules, in the storage version unless ``gvk`` says otherwise.

    Order on create: schema walk, ``default``, mutating admission, ``prepare_create``, ``validate``.
    Order on update: schema walk, ``default``, mutating admission, ``prepare_update``, then
    ``metadata.generation`` grows by one if ``spec`` (or anything outside metadata and status) changed and
    ``has_generation``, then ``validate_update`` (which must itself call what of ``validate`` applies).
    """

    gvk: GVK
    default: Callable[[Object], None] = nothing
    default_status: Callable[[Object], None] | None = None
    """What ``default`` does to a status and the metadata beside it, in the first level of each: it changes
    nothing else. None: nobody has said, so that writes of a status take all of ``default``."""
    complete_stored: Callable[[Object], None] = nothing
    """Say of an object that another server stored, and that has its defaults, what that one left out."""
    prepare_create: Callable[[Object], None] = nothing
    """Besides what the server does for all kinds (status is dropped when there is a status subresource)."""
    prepare_update: Callable[[Object, Object], None] = _nothing_update
    """(new, old): status has already been restored from old."""
    prepare_status_update: Callable[[Object, Object], None] = _nothing_update
    """(new, old) of a write to the status: all but the status is as it was."""
    stamp: Callable[[Object, Object | None, str], None] = _no_stamp
    """(new, old, now) of a new object and of a write to the status: say since when the status is as it is."""
    validate: Callable[[Object], list[FieldError]] = _no_faults
    validate_update: Callable[[Object, Object], list[FieldError]] = _no_update_faults
    validate_status_update: Callable[[Object, Object], list[FieldError]] = _no_update_faults
    metadata_after: bool = False
    """The kind's own rules say nothing of a new object's metadata: it is looked at where they hold."""
    validate_name: Callable[[str], list[str]] | None = None
    """Texts of what is wrong with a name; None: DNS subdomain."""
    warnings: Callable[[Object, Object | None], list[str]] = _no_warnings
    status_warnings: Callable[[Object], list[str]] = lambda _new: []
    """What to say of an object whose status was written."""
    labels_of_template: bool = False
    """A new object without labels has those of its pods, also what ``prepare_create`` adds to these."""
    has_generation: bool = False
    keeps_generation: bool = False
    """The generation of a new object is never counted up."""
    counts_dropped: bool = False
    """The generation grows even if all that changed is left out of the object again."""
    open_status_without: str = ""
    """The gate that has to be off for new objects to bring a status, and for writes of the whole object to
    write it too, as once everywhere; empty: they never do."""
    allow_create_on_update: bool = False
    """PUT of a name that does not exist creates it (leases, endpoints, and so on)."""
    unconditional_update: bool = True
    """PUT without resourceVersion is let through."""
    graceful_deletion: bool = False
    """Pods: DELETE sets deletionTimestamp and waits for the kubelet."""
    orphans_dependents: bool = False
    """DELETE without a propagation policy leaves dependents alone, as it once did for all kinds."""
    has_dependents: bool = True
    """False: no propagation policy has any effect."""
    status_fields: tuple[str, ...] = field(default=("status",))
    status_resets: tuple[str, ...] = USERS_METADATA
    """What of the users' metadata a write of the status leaves as it was. All of it, as new kinds should;
    older ones let some or all of it through."""

    def status_default(self) -> Callable[[Object], None] | None:
        """Return ``default_status``; where there are no defaults at all, that is nothing to do."""
        if self.default_status is None and self.default is nothing:
            return nothing
        return self.default_status
