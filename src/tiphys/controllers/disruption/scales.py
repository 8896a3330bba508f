"""How many pods a controller of any kind wants, asked of its scale subresource.

Owns: which resource a kind is (asked once, and again where nothing is found there: a custom kind may have got
another plural), and what is said of kinds that have no scale.
"""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import GVR, Object, split_api_version
from tiphys.client.rest import Client
from tiphys.client.transport import Call


class NoScale(Exception):
    """A pod's controller does not say how many pods it wants."""


class Scales:
    """Reads scales of objects that no informer watches."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], tuple[GVR, bool]] = {}

    async def replicas(self, ref: Object, namespace: str) -> int | None:
        """Return what the controller that ``ref`` names wants; None if it is gone or another one by now.

        Raises NoScale, StatusError, TransportError.
        """
        kind = (ref["apiVersion"], ref["kind"])
        known = self._kinds.get(kind)
        gvr = await self._scalable(kind)
        scale = await self._scale(gvr, ref["name"], namespace)
        if scale is None and known is not None:
            self._kinds.pop(kind, None)
            named_anew = await self._scalable(kind)
            if named_anew != gvr:
                scale = await self._scale(named_anew, ref["name"], namespace)
        if scale is None or scale["metadata"].get("uid") != ref["uid"]:
            return None
        return int(scale["spec"].get("replicas") or 0)

    async def _scale(self, gvr: GVR, name: str, namespace: str) -> Object | None:
        try:
            return await self._client.get(gvr, name, namespace, subresource="scale")
        except NotFound:
            return None

    async def _scalable(self, kind: tuple[str, str]) -> GVR:
        """Return the resource of a kind that has a scale. Raises NoScale."""
        if kind not in self._kinds or not self._kinds[kind][1]:
            # What has no scale may get one: a kind's definition can change.
            found = await self._ask(*kind)
            if found is None:
                raise NoScale(f'no matches for kind "{kind[1]}" in version "{kind[0]}"')
            self._kinds[kind] = found
        gvr, scalable = self._kinds[kind]
        if not scalable:
            where = f"{gvr.resource}.{gvr.group}" if gvr.group else gvr.resource
            raise NoScale(f"{where} does not implement the scale subresource")
        return gvr

    async def _ask(self, api_version: str, kind: str) -> tuple[GVR, bool] | None:
        group, version = split_api_version(api_version)
        path = f"/apis/{api_version}" if group else f"/api/{version}"
        try:
            answer = await self._client.send(Call("GET", path, headers={"Accept": "application/json"}))
        except NotFound:
            return None
        served: list[dict[str, Any]] = orjson.loads(answer.body).get("resources") or []
        names = {item["name"] for item in served}
        for item in served:
            if item["kind"] == kind and "/" not in item["name"]:
                return GVR(group, version, item["name"]), f"{item['name']}/scale" in names
        return None
