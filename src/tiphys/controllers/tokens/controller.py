"""Fills Secrets of type ``kubernetes.io/service-account-token``, and removes those whose account is gone.

Without a signing key it does nothing, as upstream's.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import SECRETS, SERVICE_ACCOUNTS
from tiphys.controllers.context import Context
from tiphys.controllers.tokens import plan
from tiphys.wire.jwt_keys import SigningKey

log = logging.getLogger(__name__)


class _Owner(NamedTuple):
    name: str
    uid: str
    """Empty: not known."""


class ServiceAccountTokenController:
    """A key is a Secret's. Acts with the manager's own rights: it makes tokens for everybody."""

    name = "serviceaccount-token-controller"
    account = ""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._ca_pem = context.options.root_ca_pem
        pem = context.options.service_account_key_pem
        self._key = SigningKey(pem.encode()) if pem else None
        self.queue = context.queue(self.name)
        self._gone: dict[str, _Owner] = {}  # whose Secrets were deleted, until their accounts are told
        if self._key is None:
            return
        self._accounts = context.informers.get(SERVICE_ACCOUNTS)
        self._secrets = context.informers.get(SECRETS, field_selector=f"type={plan.TYPE}")
        self._accounts.add_handler(self._account_changed)
        self._secrets.add_handler(self._secret_changed)

    async def run(self) -> None:
        if self._key is None:
            log.warning("controller is disabled because there is no private key controller=%s", self.name)
            return
        await self._accounts.wait_synced()
        await self._secrets.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def _secret_changed(self, old: Object | None, new: Object | None) -> None:
        secret = new or old
        assert secret is not None
        key = object_key(secret)
        if new is None:
            self._gone[key] = _owner(secret)
        else:
            self._gone.pop(key, None)
        self.queue.add(key)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        account = new or old
        if account is None or (old is not None and new is not None):
            return
        for secret in self._secrets.list(account["metadata"]["namespace"]):
            if _owner(secret).name == account["metadata"]["name"]:
                self.queue.add(object_key(secret))

    async def reconcile(self, key: str) -> float | None:
        secret = self._secrets.get(key)
        if secret is None:
            if (owner := self._gone.get(key)) is not None:
                await self._dereference(key, owner)
                self._gone.pop(key, None)
            return None
        if secret["metadata"].get("deletionTimestamp"):
            return None
        account = await self._account_of(secret)
        if account is None:
            await self._remove(secret)
            return None
        added = plan.missing_data(secret, self._ca_pem)
        if plan.lacks_token(secret):
            assert self._key is not None
            added["token"] = plan.encoded(self._key.sign(plan.claims(secret, account)))
        if added:
            await self._client.update(SECRETS, plan.filled(secret, account, added))
        return None

    async def _account_of(self, secret: Object) -> Object | None:
        """Return the account a secret is for; the server is asked before one is taken for gone."""
        namespace, owner = secret["metadata"]["namespace"], _owner(secret)
        account = self._accounts.get(f"{namespace}/{owner.name}")
        if (account is None or not _is(account, owner)) and owner.name:
            try:
                account = await self._client.get(SERVICE_ACCOUNTS, owner.name, namespace)
            except NotFound:
                return None
        return account if account is not None and _is(account, owner) else None

    async def _dereference(self, key: str, owner: _Owner) -> None:
        """Take a deleted Secret out of its account's list."""
        namespace, _, secret = key.partition("/")
        account = self._accounts.get(f"{namespace}/{owner.name}")
        if account is None or not _is(account, owner):
            return
        changed = plan.without_reference(account, secret)
        if changed is not None:
            try:
                await self._client.update(SERVICE_ACCOUNTS, changed)
            except NotFound:
                return

    async def _remove(self, secret: Object) -> None:
        meta = secret["metadata"]
        try:
            await self._client.delete(SECRETS, meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return


def _owner(secret: Object) -> _Owner:
    marks = plan.marks_of(secret)
    return _Owner(marks.get(plan.ACCOUNT, ""), marks.get(plan.ACCOUNT_UID, ""))


def _is(account: Object, owner: _Owner) -> bool:
    return owner.uid in ("", account["metadata"]["uid"])
