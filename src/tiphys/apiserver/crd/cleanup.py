"""Removes the objects of a definition that is being deleted, and waits until all of them are gone.

Called by the controller. Deletion runs through the same path as a client's, so finalizers hold.
"""

from __future__ import annotations

from contextlib import aclosing

from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.authn.user import APISERVER, MASTERS, User
from tiphys.apiserver.endpoints.call import Backend, Call
from tiphys.apiserver.endpoints.params import DeleteOptions
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.handlers.delete import delete_quietly
from tiphys.apiserver.registry.objects import Selection
from tiphys.wire.message import Request

_USER = User(APISERVER, groups=(MASTERS,))


async def remove_objects(backend: Backend, row: Resource) -> None:
    """Delete every object of a row; returns once none is left."""
    while True:
        page = await backend.store.list(row, Selection())
        if not page.items:
            return
        for item in page.items:
            if not item.object["metadata"].get("deletionTimestamp"):
                call = _call(backend, row, item.namespace, item.name)
                await delete_quietly(call, item.name, DeleteOptions(), item.namespace)
        watch = backend.store.watch(row, Selection(), resource_version=str(page.revision))
        async with aclosing(watch) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if any(change.type == "DELETED" for change in batch):
                    break


def _call(backend: Backend, row: Resource, namespace: str, name: str) -> Call:
    path = f"/apis/{row.group}/{row.version}/{row.plural}"
    info = RequestInfo(path, "delete", True, row.group, row.version, namespace, row.plural, "", name)
    return Call(backend, Request("DELETE", path), info, _USER, row)
