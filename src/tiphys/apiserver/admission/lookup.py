"""Reading other objects while admitting one: all from the cache, none over a wire."""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints.call import Backend


async def find(
    backend: Backend, group: str, version: str, plural: str, name: str, *, namespace: str = ""
) -> Object | None:
    """Return one object (shared, read-only), None when there is none."""
    row = backend.table.by_path(group, version, plural)
    try:
        return (await backend.store.seen(row, namespace, name)).object
    except NotFound:
        return None


async def find_all(
    backend: Backend, group: str, version: str, plural: str, namespace: str = ""
) -> list[Object]:
    """Return every object of a kind (shared, read-only), in one namespace or all."""
    row = backend.table.by_path(group, version, plural)
    return [item.object for item in await backend.store.all(row, namespace)]
