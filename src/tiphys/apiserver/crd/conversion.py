"""Custom objects from one version to another: a change of ``apiVersion``, or a webhook's answer.

Owns: ConversionReview and what a webhook may not change. Called by ``crd.store``.

Source: apiextensions.k8s.io/v1 ConversionReview; "Versions in CustomResourceDefinitions".
"""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tiphys.apimachinery.errors import InternalError, NotFound, TiphysError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apiserver.crd.kind import CustomKind
from tiphys.apiserver.objects import ObjectStore
from tiphys.apiserver.service_ports import endpoint_addresses
from tiphys.wire import client

_TIMEOUT_S = 30.0
_REVIEW_VERSIONS = ("v1", "v1beta1")
_MUTABLE = ("labels", "annotations")


class ConversionFailed(TiphysError):
    """Why a webhook's conversion does not count."""


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    path: str
    server_name: str


class Conversion:
    """The converter of one server."""

    def __init__(self, objects: ObjectStore, table: Any) -> None:
        self._objects = objects
        self._table = table

    async def __call__(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]:
        """Return objects at ``to``, in order; the ones given are left as they are.

        Raises:
            InternalError: the webhook cannot be asked, or answers wrongly.
        """
        if not objects:
            return []
        if kind.conversion.get("strategy") != "Webhook":
            return [{**obj, "apiVersion": to.api_version} for obj in objects]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._ask(objects, kind, to)
        except (ConversionFailed, client.ConnectFailed, TimeoutError, NotFound) as error:
            kind_text = f"{objects[0].get('apiVersion')}, Kind={to.kind}"
            why = str(error) or "context deadline exceeded"
            raise InternalError(f"conversion webhook for {kind_text} failed: {why}") from error

    async def _ask(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]:
        webhook = kind.conversion["webhook"]
        version = next((one for one in webhook["conversionReviewVersions"] if one in _REVIEW_VERSIONS), "v1")
        uid = str(uuid.uuid4())
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{version}",
            "request": {"uid": uid, "desiredAPIVersion": to.api_version, "objects": list(objects)},
        }
        answer = await self._post(webhook["clientConfig"], orjson.dumps(review))
        return _converted(answer, uid, objects, to)

    async def _post(self, config: Object, body: bytes) -> Any:
        address = await self._address(config)
        context = ssl.create_default_context()
        if config.get("caBundle"):
            context = ssl.create_default_context(cadata=base64.b64decode(config["caBundle"]).decode())
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "host": address.server_name,
            "connection": "close",
        }
        answer = await client.send(
            address.host,
            address.port,
            "POST",
            address.path,
            headers,
            body=body,
            ssl_context=context,
            server_name=address.server_name,
        )
        try:
            data = await answer.read()
        finally:
            await answer.close()
        if answer.status >= 300:
            raise ConversionFailed(f"the server responded with the status code {answer.status}")
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ConversionFailed(f"unable to decode the answer: {error}") from error

    async def _address(self, config: Object) -> _Address:
        if config.get("url"):
            parts = urlsplit(config["url"])
            host = parts.hostname or ""
            return _Address(host, parts.port or 443, parts.path or "/", host)
        service = config["service"]
        namespace, name = service["namespace"], service["name"]
        host, port = await self._endpoint(namespace, name, int(service.get("port") or 443))
        path = "/" + (service.get("path") or "").lstrip("/")
        return _Address(host, port, path, f"{name}.{namespace}.svc")

    async def _endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Return where one of a service's pods serves a port of the service."""
        services = self._table.by_path("", "v1", "services")
        service = (await self._objects.get(services, namespace, name)).object
        wanted = next((one for one in service["spec"].get("ports") or () if one["port"] == port), None)
        if wanted is None:
            raise ConversionFailed(f'no service port {port} found for service "{name}"')
        row = self._table.by_path("", "v1", "endpoints")
        endpoints = (await self._objects.get(row, namespace, name)).object
        found = endpoint_addresses(endpoints, wanted.get("name") or "")
        if not found:
            raise ConversionFailed(f'no endpoints available for service "{name}"')
        return random.choice(found)


def _converted(answer: Any, uid: str, objects: Sequence[Object], to: GVK) -> list[Object]:
    """Return what a webhook made of the objects. Raises ConversionFailed."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise ConversionFailed("the answer has no response")
    if response.get("uid") != uid:
        raise ConversionFailed(f'expected response.uid="{uid}", got "{response.get("uid")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise ConversionFailed(result.get("message") or "unsuccessful conversion")
    made = response.get("convertedObjects") or []
    if len(made) != len(objects):
        text = f"webhook returned {len(made)} objects, expected {len(objects)}"
        raise ConversionFailed(text)
    return [_checked(old, new, to, at) for at, (old, new) in enumerate(zip(objects, made, strict=True))]


def _checked(old: Object, new: Any, to: GVK, at: int) -> Object:
    """Return a converted object with the metadata that a webhook may not change."""
    if not isinstance(new, dict) or new.get("apiVersion") != to.api_version:
        found = new.get("apiVersion") if isinstance(new, dict) else None
        text = f"invalid groupVersion (expected {to.api_version}, received {found})"
        raise ConversionFailed(f"webhook returned invalid converted object at index {at}: {text}")
    if new.get("kind") != to.kind:
        text = f"invalid kind (expected {to.kind}, received {new.get('kind')})"
        raise ConversionFailed(f"webhook returned invalid converted object at index {at}: {text}")
    meta, before = new.get("metadata") or {}, old["metadata"]
    for key in ("name", "namespace", "uid"):
        if (meta.get(key) or "") != (before.get(key) or ""):
            text = f"invalid metadata of object at index {at}: metadata.{key} must be unchanged"
            raise ConversionFailed(text)
    kept = {key: value for key, value in before.items() if key not in _MUTABLE}
    kept |= {key: meta[key] for key in _MUTABLE if meta.get(key)}
    return {**new, "metadata": kept}
