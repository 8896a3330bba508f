"""Removes bootstrap tokens whose time is over, and signs ``cluster-info`` with the others. See ``plan``."""

from __future__ import annotations

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CONFIG_MAPS, SECRETS
from tiphys.controllers.bootstrap import plan
from tiphys.controllers.context import Context

_SYSTEM, _PUBLIC, _CLUSTER_INFO = "kube-system", "kube-public", "cluster-info"
_OF_TYPE = f"type={plan.TYPE}"


class TokenCleaner:
    """A key is a Secret's."""

    name = "token-cleaner-controller"
    account = "token-cleaner"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._secrets = context.informers.get(SECRETS, namespace=_SYSTEM, field_selector=_OF_TYPE)
        self._secrets.add_handler(self._changed)

    async def run(self) -> None:
        await self._secrets.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        secret = self._secrets.get(key)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            return None
        cleaning = plan.plan_cleaning(secret, self._clock.now())
        if cleaning.delete:
            meta = secret["metadata"]
            try:
                await self._client.delete(SECRETS, meta["name"], meta["namespace"], uid=meta["uid"])
            except (NotFound, Conflict):
                return None
        return cleaning.after_s


class BootstrapSigner:
    """There is one key: the ConfigMap's."""

    name = "bootstrap-signer-controller"
    account = "bootstrap-signer"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._secrets = context.informers.get(SECRETS, namespace=_SYSTEM, field_selector=_OF_TYPE)
        self._maps = context.informers.get(
            CONFIG_MAPS, namespace=_PUBLIC, field_selector=f"metadata.name={_CLUSTER_INFO}"
        )
        for informer in (self._secrets, self._maps):
            informer.add_handler(self._changed)

    async def run(self) -> None:
        await self._secrets.wait_synced()
        await self._maps.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self.queue.add(f"{_PUBLIC}/{_CLUSTER_INFO}")

    async def reconcile(self, key: str) -> float | None:
        config_map = self._maps.get(key)
        if config_map is None:
            return None
        now = self._clock.now()
        found = (plan.signing_token(secret, now) for secret in self._secrets.list())
        tokens = sorted((token for token in found if token is not None), key=lambda token: token.id)
        data = plan.plan_signatures(config_map, tokens)
        if data is not None:
            await self._client.update(CONFIG_MAPS, {**config_map, "data": data})
        return None
