"""Tells who waits for a larger volume that somebody else must make it larger.

No volume plugin can expand a volume by itself any more, upstream's neither: CSI's resizer does, or people.
"""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from tiphys.controllers.context import Context

EXPANDING = (
    "didn't find a plugin capable of expanding the volume; "
    "waiting for an external controller to process this PVC."
)
_PRE_RESIZE = "volume.alpha.kubernetes.io/pre-resize-capacity"


def wants_more(claim: Object, volume: Object | None) -> bool:
    """True for a bound claim that asks for more than it has, or whose volume is being made larger. Pure."""
    status = claim.get("status") or {}
    if volume is None or status.get("phase") != "Bound":
        return False
    ref = volume["spec"].get("claimRef") or {}
    if ref.get("uid") != claim["metadata"]["uid"]:
        return False
    asked = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    has = (status.get("capacity") or {}).get("storage", "0")
    larger = quantity.parse(str(asked)).amount > quantity.parse(str(has)).amount
    return larger or _PRE_RESIZE in (volume["metadata"].get("annotations") or {})


class VolumeExpander:
    """A key is a claim's. Each wish for more is told once."""

    name = "persistentvolume-expander-controller"
    account = "expand-controller"

    def __init__(self, context: Context) -> None:
        self._recorder = context.recorder("volume_expand")
        self.queue = context.queue(self.name)
        self._claims = context.informers.get(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informers.get(PERSISTENT_VOLUMES)
        self._claims.add_handler(self._changed)

    async def run(self) -> None:
        await self._claims.wait_synced()
        await self._volumes.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _wish(old) != _wish(new)):
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        claim = self._claims.get(key)
        if claim is None:
            return None
        volume = self._volumes.get(str(claim["spec"].get("volumeName") or ""))
        if wants_more(claim, volume):
            self._recorder.record(claim, "Normal", "ExternalExpanding", EXPANDING)
        return None


def _wish(claim: Object) -> tuple[object, ...]:
    status = claim.get("status") or {}
    return claim["spec"].get("resources"), status.get("capacity"), status.get("phase")
