"""Resource quotas: nothing is created that a namespace has no room for.

Owns: which writes are charged (to the quotas' ``status.used``, before the object is written), and the
plugin's configuration. What a write costs is ``quota_check``'s, the charging ``quota_ledger``'s. The quota
controller recounts, so what was charged for a write that failed comes back.

Source: the "Resource Quotas" page; apiserver.config.k8s.io ResourceQuotaConfiguration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Self

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.quota_devices import Devices, made_for, names_by_class
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.configuration import of_kind
from tiphys.apiserver.admission.lookup import find, find_all
from tiphys.apiserver.admission.quota_check import Refused, Uncovered, Write
from tiphys.apiserver.admission.quota_ledger import Charge, QuotaLedger
from tiphys.apiserver.config_files import BadConfiguration, joined
from tiphys.apiserver.endpoints.call import Backend

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ResourceQuotaConfiguration": ("apiserver.config.k8s.io/v1",),
    "Configuration": ("resourcequota.admission.k8s.io/v1alpha1", "resourcequota.admission.k8s.io/v1beta1"),
}
_CREATED: Final = frozenset({("", "CREATE")})
_WRITTEN: Final = frozenset({("", "CREATE"), ("", "UPDATE")})
_DEVICE_CLAIMS: Final = ("resource.k8s.io", "resourceclaims")
_LOOKED_AT: Final = {
    ("", "pods"): frozenset({("", "CREATE"), ("resize", "UPDATE")}),
    ("", "services"): _WRITTEN,
    ("", "persistentvolumeclaims"): _WRITTEN | {("status", "UPDATE")},
    _DEVICE_CLAIMS: _WRITTEN,
}
"""Subresources and operations by which the use of a resource may grow; of all others, creation."""
_NEVER: Final = frozenset(
    {
        ("", "bindings"), ("", "events"), ("authorization.k8s.io", "localsubjectaccessreviews"),
    }
)  # fmt: skip
"""Namespaced resources that nobody stores, and events: no quota is about them."""


class ResourceQuota:
    """Last in the list: only what everybody else let through is charged."""

    NAME = "ResourceQuota"
    SUBRESOURCES = frozenset({"", "resize", "status"})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    def __init__(self, limited: Sequence[Object] = ()) -> None:
        self._limited = tuple(limited)
        self._ledger: QuotaLedger | None = None

    @classmethod
    def configured(cls, document: Object | None) -> Self:
        """Raises BadConfiguration."""
        kind = "Configuration" if (document or {}).get("kind") == "Configuration" else ""
        kind = kind or "ResourceQuotaConfiguration"
        limited = of_kind(document, kind, *_KINDS[kind]).get("limitedResources") or ()
        faults = [
            required(f"limitedResources[{index}].resource")
            for index, one in enumerate(limited)
            if not one.get("resource")
        ]
        if faults:
            raise BadConfiguration(joined(faults))
        return cls(limited)

    def idle(self, attributes: Attributes | None = None) -> bool:
        """Tell whether there are no quotas where something is written."""
        if attributes is None or self._limited:
            return False
        backend = attributes.call.backend
        row = backend.table.by_path("", "v1", "resourcequotas")
        return backend.store.all_at_hand(row, attributes.namespace) == ()

    async def close(self) -> None:
        """Wait for the charges under way. Idempotent."""
        if self._ledger is not None:
            await self._ledger.close()

    async def validate(self, attributes: Attributes) -> None:
        """Raises what there is no room for."""
        write = _write(attributes)
        if write is None:
            return
        backend = attributes.call.backend
        row = backend.table.by_path("", "v1", "resourcequotas")
        if not self._limited and not await backend.store.all(row, attributes.namespace):
            return
        if (write.group, write.plural) == _DEVICE_CLAIMS and on("DRAExtendedResource"):
            write = replace(write, devices=await _devices(backend, attributes.namespace, write.obj))
        if self._ledger is None:
            self._ledger = QuotaLedger(row, self._limited)
        try:
            await self._ledger.charge(backend.store, attributes.namespace, Charge(write, attributes.dry_run))
        except Refused as error:
            raise attributes.refuse(str(error)) from error
        except Uncovered as error:
            raise StatusError(str(error)) from error


def _write(attributes: Attributes) -> Write | None:
    """Return what quotas look at; None: no quota is about such a write."""
    kind = attributes.group, attributes.plural
    if attributes.obj is None or not attributes.call.resource.namespaced or kind in _NEVER:
        return None
    if (attributes.subresource, attributes.operation) not in _LOOKED_AT.get(kind, _CREATED):
        return None
    return Write(*kind, attributes.obj, attributes.old, attributes.subresource)


async def _devices(backend: Backend, namespace: str, claim: Object) -> Devices:
    """Return what is known of devices where a claim is written; of pods, only the one that it is made for."""
    group, version = _DEVICE_CLAIMS[0], "v1"
    resources = names_by_class(await find_all(backend, group, version, "deviceclasses"))
    owner = made_for(claim)
    name = str(owner.get("name") or "") if owner else ""
    pod = await find(backend, "", "v1", "pods", name, namespace=namespace) if name else None
    if pod is None:
        return Devices(resources, {})
    claims = await find_all(backend, group, version, "resourceclaims", namespace)
    return Devices(resources, {name: pod}, claims)
