"""Writes the status of definitions, as the server itself.

Owns: as whom and at what time that is done. Refuses: what it says (``names``, ``structure``). Called by the
controller and by what cleans up (``deletion``).
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry import ownership
from tiphys.apiserver.registry.objects import Cached

_MANAGER: Final = "kube-apiserver"


class Statuses:
    """Those of one server's definitions, whose row is ``row``."""

    def __init__(self, backend: Backend, row: Resource) -> None:
        self._backend = backend
        self.row = row
        self.tracks = backend.options.feature_gates.enabled("CRDObservedGenerationTracking")
        """Whether conditions tell the generation that they speak of."""

    def now(self) -> str:
        """Return the time as conditions have it."""
        return rfc3339(self._backend.clock.now())

    async def write(self, cached: Cached, new: Object) -> None:
        """Put a definition in the place of one that was read. Raises Conflict, NotFound."""
        write = ownership.Write(_MANAGER, self._backend.clock.now(), "status")
        ownership.manage_update(cached.object, new, self.row, write)
        new["metadata"].pop("resourceVersion", None)
        await self._backend.store.update(self.row, new, cached.revision)


def with_status(crd: Object, status: Any) -> Object:
    """Return a definition to write: its metadata is the caller's own, its spec is shared."""
    new = {**crd, "metadata": dict(crd["metadata"])}
    if status is not None:
        new["status"] = status
    return new
