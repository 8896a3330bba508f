"""Fills Secrets of type ``kubernetes.io/service-account-token``, and removes those whose account is gone.

The API server holds the signing key, so the token is asked of it, bound to the Secret: it dies with it.
Source: the "Managing Service Accounts" page.
"""

from __future__ import annotations

import base64

from tiphys.apimachinery.errors import Conflict, NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import SECRETS, SERVICE_ACCOUNTS
from tiphys.controllers.context import Context

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
_FOREVER_S = 1 << 32


def missing_data(secret: Object, account: Object, ca_pem: str) -> dict[str, str]:
    """Return what a token secret lacks besides the token itself, encoded. Pure."""
    data = secret.get("data") or {}
    wanted = {"namespace": account["metadata"]["namespace"]}
    if ca_pem:
        wanted["ca.crt"] = ca_pem
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()}
    return {name: value for name, value in encoded.items() if data.get(name) != value}


class ServiceAccountTokenController:
    """A key is a Secret's. Acts with the manager's own rights: it makes tokens for everybody."""

    name = "serviceaccount-token-controller"
    account = ""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._ca_pem = context.options.root_ca_pem
        self.queue = context.queue(self.name)
        self._accounts = context.informers.get(SERVICE_ACCOUNTS)
        self._secrets = context.informers.get(SECRETS, field_selector=f"type={TYPE}")
        self._accounts.add_handler(self._account_changed)
        self._secrets.add_handler(self._secret_changed)

    async def run(self) -> None:
        await self._accounts.wait_synced()
        await self._secrets.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=2, name=self.name)

    def _secret_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        account = new or old
        if account is None or (old is not None and new is not None):
            return
        for secret in self._secrets.list(account["metadata"]["namespace"]):
            if _annotations(secret).get(ACCOUNT) == account["metadata"]["name"]:
                self.queue.add(object_key(secret))

    async def reconcile(self, key: str) -> float | None:
        secret = self._secrets.get(key)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            return None
        account = await self._account_of(secret)
        if account is None:
            await self._remove(secret)
            return None
        added = missing_data(secret, account, self._ca_pem)
        if not (secret.get("data") or {}).get("token"):
            added["token"] = await self._token(secret, account)
        uid = account["metadata"]["uid"]
        annotated = _annotations(secret).get(ACCOUNT_UID) == uid
        if added or not annotated:
            meta = {**secret["metadata"], "annotations": {**_annotations(secret), ACCOUNT_UID: uid}}
            filled = {**secret, "metadata": meta, "data": {**(secret.get("data") or {}), **added}}
            try:
                await self._client.update(SECRETS, filled)
            except NotFound:
                return None
        return None

    async def _account_of(self, secret: Object) -> Object | None:
        """Return the account a secret is for; the server is asked before one is taken for gone."""
        namespace, name = secret["metadata"]["namespace"], _annotations(secret).get(ACCOUNT, "")
        account = self._accounts.get(f"{namespace}/{name}")
        if account is None and name:
            try:
                account = await self._client.get(SERVICE_ACCOUNTS, name, namespace)
            except NotFound:
                return None
        uid = _annotations(secret).get(ACCOUNT_UID)
        return account if account is not None and uid in (None, account["metadata"]["uid"]) else None

    async def _token(self, secret: Object, account: Object) -> str:
        meta = secret["metadata"]
        bound = {"apiVersion": "v1", "kind": "Secret", "name": meta["name"], "uid": meta["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _FOREVER_S, "boundObjectRef": bound},
        }
        name, namespace = account["metadata"]["name"], account["metadata"]["namespace"]
        answer = await self._client.post(SERVICE_ACCOUNTS, name, namespace, "token", request)
        return base64.b64encode(answer["status"]["token"].encode()).decode()

    async def _remove(self, secret: Object) -> None:
        meta = secret["metadata"]
        try:
            await self._client.delete(
                SECRETS,
                meta["name"],
                meta["namespace"],
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
            )
        except (NotFound, Conflict):
            return


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}
