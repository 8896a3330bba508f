"""Claims, volumes, classes, what nodes attach and drivers have left, as the scheduler knows them.

State alone; plugins judge.
"""

from __future__ import annotations

from tiphys.apimachinery import quantity
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object, object_key


@dataclass(frozen=True, slots=True)
class Capacity:
    """How large a volume can be made where, as one CSIStorageCapacity has it."""

    where: Selector | None
    """Over the labels of nodes; None: nowhere."""
    largest: int


def read_capacity(obj: Object) -> Capacity:
    """Read a CSIStorageCapacity."""
    topology = obj.get("nodeTopology")
    text = obj.get("maximumVolumeSize") or obj.get("capacity")
    return Capacity(
        None if topology is None else from_label_selector(topology),
        quantity.parse(str(text)).value() if text else 0,
    )


class Volumes:
    """Small tables, kept current by the scheduler's shell. ``generation`` grows with every change."""

    def __init__(self) -> None:
        self.claims: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self.classes: dict[str, Object] = {}
        self.csi_nodes: dict[str, Object] = {}
        self.attachments: dict[str, Object] = {}
        self.drivers: dict[str, Object] = {}
        self.capacities: dict[str, dict[str, Capacity]] = {}
        """By storage class, then by the object's key: what drivers say is left."""
        self.generation = 0

    def set_claim(self, old: Object | None, new: Object | None) -> None:
        """Take a PersistentVolumeClaim's new state (None: it is gone)."""
        self._set(self.claims, old, new)

    def set_volume(self, old: Object | None, new: Object | None) -> None:
        """Take a PersistentVolume's new state (None: it is gone)."""
        self._set(self.volumes, old, new)

    def set_class(self, old: Object | None, new: Object | None) -> None:
        """Take a StorageClass's new state (None: it is gone)."""
        self._set(self.classes, old, new)

    def set_csi_node(self, old: Object | None, new: Object | None) -> None:
        """Take a CSINode's new state (None: it is gone)."""
        self._set(self.csi_nodes, old, new)

    def set_attachment(self, old: Object | None, new: Object | None) -> None:
        """Take a VolumeAttachment's new state (None: it is gone)."""
        self._set(self.attachments, old, new)

    def set_driver(self, old: Object | None, new: Object | None) -> None:
        """Take a CSIDriver's new state (None: it is gone)."""
        self._set(self.drivers, old, new)

    def set_capacity(self, old: Object | None, new: Object | None) -> None:
        """Take a CSIStorageCapacity's new state (None: it is gone)."""
        self.generation += 1
        if old is not None:
            self.capacities.get(old["storageClassName"], {}).pop(object_key(old), None)
        if new is not None:
            self.capacities.setdefault(new["storageClassName"], {})[object_key(new)] = read_capacity(new)

    def _set(self, table: dict[str, Object], old: Object | None, new: Object | None) -> None:
        self.generation += 1
        if new is not None:
            table[object_key(new)] = new
        elif old is not None:
            table.pop(object_key(old), None)
