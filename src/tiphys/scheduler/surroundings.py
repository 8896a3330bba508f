"""What the cluster says of volumes, devices and pods that belong together: into columns, and to the queue.

No decisions: which event lets which pods try again is the queue's to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import (
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    DEVICE_CLASSES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.hints import Change

Handler = Callable[[Object | None, Object | None], None]


class Surroundings:
    """Hears of everything but nodes and pods."""

    def __init__(
        self, columns: Columns, moved: Callable[[Change], None], claims_changed: Callable[[], None]
    ) -> None:
        """``moved`` is told what happened, ``claims_changed`` of each change of a claim."""
        self._columns = columns
        self._moved = moved
        self._claims_changed = claims_changed

    def handlers(self) -> Iterator[tuple[GVR, Handler]]:
        """Yield each resource with what is to be called when one of its objects changes."""
        volumes, devices, siblings = self._columns.volumes, self._columns.devices, self._columns.siblings
        followed: tuple[tuple[GVR, str, Handler], ...] = (
            (PERSISTENT_VOLUME_CLAIMS, "volume", volumes.set_claim),
            (PERSISTENT_VOLUMES, "volume", volumes.set_volume),
            (STORAGE_CLASSES, "volume", volumes.set_class),
            (CSI_NODES, "volume", volumes.set_csi_node),
            (CSI_DRIVERS, "volume", volumes.set_driver),
            (RESOURCE_CLAIMS, "device", devices.set_claim),
            (RESOURCE_SLICES, "device", devices.set_slice),
            (DEVICE_CLASSES, "device-class", devices.set_class),
        )
        for gvr, event, take in followed:
            tell = (self._claims_changed,) if gvr in (PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS) else ()
            yield gvr, self._then(event, gvr.resource, take, *tell)
        yield CSI_STORAGE_CAPACITIES, self._on_capacity
        yield VOLUME_ATTACHMENTS, self._on_attachment
        yield SERVICES, siblings.set_service
        for controllers in (REPLICATION_CONTROLLERS, REPLICA_SETS, STATEFUL_SETS):
            yield controllers, siblings.set_controller

    def _then(self, event: str, resource: str, take: Handler, *tell: Callable[[], None]) -> Handler:
        def handle(old: Object | None, new: Object | None) -> None:
            take(old, new)
            for one in tell:
                one()
            self._moved(Change(event, old=old, new=new, resource=resource))

        return handle

    def _on_capacity(self, old: Object | None, new: Object | None) -> None:
        self._columns.volumes.set_capacity(old, new)
        if new is not None:
            self._moved(Change("volume", old=old, new=new, resource=CSI_STORAGE_CAPACITIES.resource))

    def _on_attachment(self, old: Object | None, new: Object | None) -> None:
        self._columns.volumes.set_attachment(old, new)
        if new is None:
            self._moved(Change("volume", old=old, resource=VOLUME_ATTACHMENTS.resource))
