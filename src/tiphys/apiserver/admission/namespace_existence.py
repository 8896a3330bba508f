"""NamespaceAutoProvision makes the namespaces that objects name; NamespaceExists asks for them."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, Invalid, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.registry import machinery, meta_rules


async def _lacking(attributes: Attributes) -> bool:
    if not attributes.call.resource.namespaced or not attributes.namespace:
        return False
    return await find(attributes.call.backend, "", "v1", "namespaces", attributes.namespace) is None


class NamespaceAutoProvision:
    """Creates the namespace of an object that is created in none."""

    NAME = "NamespaceAutoProvision"
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        if attributes.dry_run or not await _lacking(attributes):
            return
        backend, name = attributes.call.backend, attributes.namespace
        row = backend.table.by_path("", "v1", "namespaces")
        strategy = machinery.strategy_for(row)
        namespace: Object = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
        strategy.default(namespace)
        meta_rules.stamp_new(namespace, backend.clock.now())
        strategy.prepare_create(namespace)
        faults = machinery.validate_create(strategy, namespace, namespaced=False)
        if faults:
            raise attributes.refuse(Invalid.of("", "Namespace", name, faults).message)
        try:
            await backend.store.create(row, namespace)
        except AlreadyExists:
            return


class NamespaceExists:
    """Refuses writes in a namespace that is not there."""

    NAME = "NamespaceExists"
    VALIDATES = frozenset({"CREATE", "UPDATE", "DELETE"})

    async def validate(self, attributes: Attributes) -> None:
        if await _lacking(attributes):
            raise NotFound.of("", "namespaces", attributes.namespace)
