"""Removes the objects of a definition that is being deleted, and waits until all of them are gone.

Called by the controller. Deletion runs through the same path as a client's, so finalizers hold.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.authn.user import APISERVER, MASTERS, User
from tiphys.apiserver.crd.rows import rows_of
from tiphys.apiserver.endpoints.call import Backend, Call
from tiphys.apiserver.endpoints.params import DeleteOptions
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.handlers.delete import delete_quietly
from tiphys.apiserver.registry.objects import Page, Selection
from tiphys.wire.message import Request

_USER = User(APISERVER, groups=(MASTERS,))
_PATIENCE_S = 60.0
"""So long objects may take to go until that is told, and everything is done again."""
_SHARED: Final = frozenset(
    {("apiregistration.k8s.io", "apiservices"), ("apiextensions.k8s.io", "customresourcedefinitions")}
)
"""Built-in kinds whose objects are stored where those of a definition of the same names would be."""


class NotRemoved(TiphysError):
    """Why objects are still there."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def is_shared(crd: Object) -> bool:
    """Tell whether a definition's objects would be a built-in kind's: these are not removed."""
    return (crd["spec"]["group"], crd["spec"]["names"]["plural"]) in _SHARED


def row_of(crd: Object) -> Resource:
    """Return the row to find an established definition's objects by: of the version they are stored in."""
    versions = [{**one, "served": True} for one in crd["spec"]["versions"] if one.get("storage")]
    return rows_of({**crd, "spec": {**crd["spec"], "versions": versions}})[0]


async def remove_objects(backend: Backend, row: Resource) -> None:
    """Delete every object of a row; returns once none is left.

    Raises:
        NotRemoved: they cannot be read or deleted, or take too long to go.
    """
    failed = "InstanceDeletionFailed"
    try:
        page = await backend.store.list(row, Selection())
    except StatusError as error:
        raise NotRemoved(failed, f"could not list instances: {error.message}") from error
    if faults := await _delete(backend, row, page):
        shown = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        raise NotRemoved(failed, f"could not issue all deletes: {shown}")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _wait_gone(backend, row)
    except (StatusError, TimeoutError) as error:
        why = error.message if isinstance(error, StatusError) else "context deadline exceeded"
        text = f"could not confirm zero CustomResources remaining: {why}"
        raise NotRemoved("InstanceDeletionCheck", text) from error


async def _delete(backend: Backend, row: Resource, page: Page) -> list[str]:
    """Ask for every deletion. Returns the faults: of each namespace the first, none of them twice."""
    faults: dict[str, str] = {}
    for item in page.items:
        if item.namespace in faults:
            continue
        try:
            call = _call(backend, row, item.namespace, item.name)
            await delete_quietly(call, item.name, DeleteOptions(), item.namespace)
        except StatusError as error:
            faults[item.namespace] = error.message
    return list(dict.fromkeys(faults.values()))


async def _wait_gone(backend: Backend, row: Resource) -> None:
    while True:
        page = await backend.store.list(row, Selection(), limit=1)  # who converts them has enough to do
        if not page.items:
            return
        watch = backend.store.watch(row, Selection(), resource_version=str(page.revision))
        async with aclosing(watch) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if any(change.type == "DELETED" for change in batch):
                    break


def _call(backend: Backend, row: Resource, namespace: str, name: str) -> Call:
    path = f"/apis/{row.group}/{row.version}/{row.plural}"
    info = RequestInfo(path, "delete", True, row.group, row.version, namespace, row.plural, "", name)
    return Call(backend, Request("DELETE", path), info, _USER, row)
