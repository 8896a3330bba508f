"""Looks once a day for Secrets of tokens that nobody uses any more. Decisions are in ``plan``."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CONFIG_MAPS, PODS, SECRETS, SERVICE_ACCOUNTS
from tiphys.controllers.context import Context
from tiphys.controllers.legacytokens.plan import (
    INVALID_SINCE,
    TRACKING,
    TYPE,
    NotTracked,
    is_tracked_for,
    plan,
)

log = logging.getLogger(__name__)
_KEY: Final = "all"
_EVERY_S: Final = 24 * 3600.0


class LegacyTokenCleaner:
    """One key: a sweep looks at everything."""

    name = "legacy-serviceaccount-token-cleaner-controller"
    account = "legacy-service-account-token-cleaner"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._period = timedelta(seconds=context.options.legacy_token_clean_up_s)
        self.queue = context.queue(self.name)
        self._accounts = context.informers.get(SERVICE_ACCOUNTS)
        self._secrets = context.informers.get(SECRETS, field_selector=f"type={TYPE}")
        self._pods = context.informers.get(PODS)

    async def run(self) -> None:
        for informer in (self._accounts, self._secrets, self._pods):
            await informer.wait_synced()
        self.queue.add(_KEY)
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    async def reconcile(self, _key: str) -> float | None:
        now = self._clock.now()
        try:
            tracking = await self._client.get(CONFIG_MAPS, TRACKING, "kube-system")
            if not is_tracked_for(tracking, self._period, now):
                return _EVERY_S
        except (NotFound, NotTracked) as error:
            log.error("unused tokens not looked for why=%s", error)
            return _EVERY_S
        accounts = {object_key(account): account for account in self._accounts.list()}
        planned = plan(self._secrets.list(), accounts, self._pods.list(), self._period, now)
        for secret in planned.mark:
            await self._mark(secret, now.strftime("%Y-%m-%d"))
        for secret in planned.delete:
            await self._delete(secret)
        return _EVERY_S

    async def _mark(self, secret: Object, today: str) -> None:
        meta = secret["metadata"]
        log.info("token marked as invalid secret=%s since=%s", object_key(secret), today)
        changed = {"metadata": {"uid": meta["uid"], "labels": {INVALID_SINCE: today}}}
        try:
            await self._client.patch(SECRETS, meta["name"], meta["namespace"], changed)
        except StatusError as error:
            if not error.target_gone:
                raise

    async def _delete(self, secret: Object) -> None:
        meta = secret["metadata"]
        log.info("unused token deleted secret=%s", object_key(secret))
        try:
            await self._client.delete(
                SECRETS, meta["name"], meta["namespace"], resource_version=meta["resourceVersion"]
            )
        except (NotFound, Conflict):
            return
