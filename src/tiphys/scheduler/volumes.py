"""Claims, volumes, classes and what nodes attach, as the scheduler knows them. State alone; plugins judge."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object, object_key


class Volumes:
    """Small tables, kept current by the scheduler's shell. ``generation`` grows with every change."""

    def __init__(self) -> None:
        self.claims: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self.classes: dict[str, Object] = {}
        self.csi_nodes: dict[str, Object] = {}
        self.attachments: dict[str, Object] = {}
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

    def _set(self, table: dict[str, Object], old: Object | None, new: Object | None) -> None:
        self.generation += 1
        if new is not None:
            table[object_key(new)] = new
        elif old is not None:
            table.pop(object_key(old), None)
