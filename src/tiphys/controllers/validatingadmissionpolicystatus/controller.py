"""Reports in the status of each ValidatingAdmissionPolicy how its expressions fit the types they meet.

Built-in kinds are known; the schema of a custom one is read from the server's OpenAPI documents. Decides in
``plan``.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.cel import Declaration
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import GVK, GVR, Object, split_api_version
from tiphys.apimachinery.schema.build import build_custom
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis import schemas
from tiphys.apis.table import TABLE
from tiphys.client.controller import run_controller
from tiphys.client.kinds import VALIDATING_ADMISSION_POLICIES
from tiphys.client.transport import Call
from tiphys.controllers.context import Context
from tiphys.controllers.validatingadmissionpolicystatus.plan import (
    Checked,
    declared,
    is_due,
    kinds_to_check,
    named_resources,
    status,
    warnings,
)


class ValidatingAdmissionPolicyStatusController:
    """A key is a policy's name."""

    name = "validatingadmissionpolicy-status-controller"
    account = "validatingadmissionpolicy-status-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._policies = context.informers.get(VALIDATING_ADMISSION_POLICIES)
        self._policies.add_handler(self._changed)

    async def run(self) -> None:
        await self._policies.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and is_due(new):
            self.queue.add(new["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        policy = self._policies.get(key)
        if policy is None or not is_due(policy):
            return None
        found = warnings(policy, await self._types(policy), await self._params(policy))
        applied = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": key},
            "status": status(policy, found),
        }
        try:
            await self._client.patch(
                VALIDATING_ADMISSION_POLICIES, key, "", applied, type="apply", subresource="status",
                field_manager=self.name, force=True,
            )  # fmt: skip
        except (Conflict, NotFound):
            return None  # a newer version comes by itself
        return None

    async def _types(self, policy: Object) -> list[Checked]:
        named = named_resources(policy)
        kinds = {gvr: await self._kind(gvr) for gvrs in named for gvr in gvrs}
        found = []
        for gvk in kinds_to_check(named, kinds.get):
            type_ = await self._type(gvk)
            if type_ is not None:
                found.append(Checked(gvk, type_))
        return found

    async def _params(self, policy: Object) -> Declaration | None:
        kind = policy["spec"].get("paramKind")
        if kind is None:
            return None
        return await self._type(GVK(*split_api_version(kind["apiVersion"]), kind["kind"]))

    async def _kind(self, gvr: GVR) -> GVK | None:
        row = TABLE.by_path(*gvr)
        if row is not None:
            return row.gvk
        if not gvr.group:
            return None
        document = await self._read(f"/apis/{gvr.group}/{gvr.version}")
        for item in document.get("resources") or ():
            if item["name"] == gvr.resource:
                return GVK(gvr.group, gvr.version, item["kind"])
        return None

    async def _type(self, gvk: GVK) -> Declaration | None:
        schema = schemas.schema_for(gvk) if TABLE.by_kind(gvk) is not None else await self._custom(gvk)
        if schema is None:
            return None
        return declared(gvk, schema, schemas.object_meta())

    async def _custom(self, gvk: GVK) -> Schema | None:
        document = await self._read(f"/openapi/v3/apis/{gvk.group}/{gvk.version}")
        own = {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
        for source in ((document.get("components") or {}).get("schemas") or {}).values():
            if own in (source.get("x-kubernetes-group-version-kind") or ()):
                properties = {
                    key: value for key, value in (source.get("properties") or {}).items() if key != "metadata"
                }
                return build_custom({**source, "properties": properties})
        return None

    async def _read(self, path: str) -> dict[str, Any]:
        """Return a document; empty where there is none."""
        try:
            answer = await self._client.send(Call("GET", path, headers={"Accept": "application/json"}))
        except StatusError:
            return {}
        document: dict[str, Any] = orjson.loads(answer.body)
        return document
