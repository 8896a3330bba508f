"""Makes the ``default`` ServiceAccount in every namespace, again and again if need be."""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, Forbidden, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NAMESPACES, SERVICE_ACCOUNTS
from tiphys.controllers.context import Context
from tiphys.controllers.namespace.plan import is_active


class ServiceAccountController:
    """A key is a namespace's."""

    name = "service-account-controller"
    account = "service-account-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._namespaces = context.informers.get(NAMESPACES)
        self._accounts = context.informers.get(SERVICE_ACCOUNTS)
        self._namespaces.add_handler(self._namespace_changed)
        self._accounts.add_handler(self._account_changed)

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await self._accounts.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(new["metadata"]["name"])

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and old["metadata"]["name"] == "default":
            self.queue.add(old["metadata"]["namespace"])

    async def reconcile(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or not is_active(namespace) or self._accounts.get(f"{key}/default"):
            return None
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": key},
        }
        try:
            await self._client.create(SERVICE_ACCOUNTS, account)
        except AlreadyExists:
            return None
        except (Forbidden, NotFound):
            # The namespace began to go away, or is gone: its next event decides.
            return None
        return None
