"""Finds the strategy of a kind, and runs whole validations the way the server needs them.

One ordered list of group modules (``GROUPS``); a kind without rules of its own, custom resources included,
gets a generic one. Adding a group is one import and one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from types import ModuleType

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis import meta_validation
from tiphys.apis.admissionregistration import kinds as admissionregistration
from tiphys.apis.apiextensions import kinds as apiextensions
from tiphys.apis.apiregistration import kinds as apiregistration
from tiphys.apis.apiserverinternal import kinds as apiserverinternal
from tiphys.apis.apps import kinds as apps
from tiphys.apis.autoscaling import kinds as autoscaling
from tiphys.apis.batch import kinds as batch
from tiphys.apis.certificates import kinds as certificates
from tiphys.apis.coordination import kinds as coordination
from tiphys.apis.core import kinds as core
from tiphys.apis.discovery import kinds as discovery
from tiphys.apis.flowcontrol import kinds as flowcontrol
from tiphys.apis.metadata_order import Part, order_of, placed
from tiphys.apis.networking import kinds as networking
from tiphys.apis.node import kinds as node
from tiphys.apis.policy import kinds as policy
from tiphys.apis.rbac import kinds as rbac
from tiphys.apis.resource import kinds as resource
from tiphys.apis.scheduling import kinds as scheduling
from tiphys.apis.storage import kinds as storage
from tiphys.apis.storagemigration import kinds as storagemigration
from tiphys.apis.strategy import Strategy

GROUPS: tuple[ModuleType, ...] = (
    core,
    apps,
    batch,
    networking,
    rbac,
    policy,
    storage,
    scheduling,
    coordination,
    discovery,
    autoscaling,
    node,
    certificates,
    apiregistration,
    apiextensions,
    admissionregistration,
    flowcontrol,
    resource,
    storagemigration,
    apiserverinternal,
)

STRATEGIES: tuple[Strategy, ...] = tuple(strategy for group in GROUPS for strategy in group.STRATEGIES)

_BY_GVK: dict[GVK, Strategy] = {strategy.gvk: strategy for strategy in STRATEGIES}
_BY_KIND: dict[tuple[str, str], Strategy] = {
    (strategy.gvk.group, strategy.gvk.kind): strategy for strategy in reversed(STRATEGIES)
}


@lru_cache(maxsize=1024)
def strategy_for(gvk: GVK) -> Strategy:
    """Return a kind's strategy: its version's, else the one its versions share, else the generic one."""
    exact = _BY_GVK.get(gvk)
    if exact is not None:
        return exact
    shared = _BY_KIND.get((gvk.group, gvk.kind))
    if shared is not None:
        return replace(shared, gvk=gvk)
    return Strategy(gvk, has_generation=True, unconditional_update=False)


_ANY_FINALIZER = frozenset(
    {
        "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
        "coordination.k8s.io", "internal.apiserver.k8s.io", "policy",
    }
)  # fmt: skip
"""Groups whose finalizers may name no domain, as those of custom resources may."""


def _finalizers(strategy: Strategy, obj: Object) -> list[FieldError]:
    group, kind = strategy.gvk.group, strategy.gvk.kind
    if group in _ANY_FINALIZER or (group, kind) == ("", "Event") or (group, kind) not in _BY_KIND:
        return []
    return meta_validation.standard_finalizers(obj)


def validate_create(strategy: Strategy, obj: Object, *, namespaced: bool) -> list[FieldError]:
    """Return every fault of a new object: its metadata's first, then its own; or its metadata's alone."""
    if strategy.metadata_after and (own := strategy.validate(obj)):
        return own
    faults = meta_validation.validate_meta(obj, namespaced=namespaced, validate_name=strategy.validate_name)
    if strategy.metadata_after:
        return faults
    return faults + _finalizers(strategy, obj) + strategy.validate(obj)


def _with_metadata(
    strategy: Strategy,
    order: Sequence[Part],
    new: Object,
    old: Object,
    found: list[FieldError],
    *,
    namespaced: bool,
) -> list[FieldError]:
    """What the server finds of changed metadata, then what the kind's own rules ``found`` with more."""
    faults = meta_validation.validate_meta_update(new, old, namespaced=namespaced)
    meta, before = new.get("metadata") or {}, old.get("metadata") or {}
    prefix = meta.get("generateName")
    if not faults and not meta.get("finalizers") and (not prefix or prefix == before.get("generateName")):
        return found
    finalizers, name = _finalizers(strategy, new), strategy.validate_name
    metadata = {
        "new": meta_validation.validate_meta(new, namespaced=namespaced, validate_name=name) + finalizers,
        "changed": meta_validation.validate_meta_change(new, old, namespaced=namespaced) + finalizers,
    }
    return faults + placed(order, metadata, found, lambda: strategy.validate(new))


def validate_update(strategy: Strategy, new: Object, old: Object, *, namespaced: bool) -> list[FieldError]:
    """Return every fault of replacing ``old`` with ``new``, metadata's in their places."""
    order, found = order_of(strategy.gvk.kind, strategy.gvk.group), strategy.validate_update(new, old)
    return _with_metadata(strategy, order, new, old, found, namespaced=namespaced)


def validate_part_update(
    strategy: Strategy,
    rules: Callable[[Object, Object], list[FieldError]],
    new: Object,
    old: Object,
    *,
    namespaced: bool,
) -> list[FieldError]:
    """Return every fault of writing a status or another part by its ``rules``, metadata's in their places."""
    order = order_of(strategy.gvk.kind, strategy.gvk.group, status=True)
    return _with_metadata(strategy, order, new, old, rules(new, old), namespaced=namespaced)
