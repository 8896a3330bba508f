"""Claims, volumes and storage classes as the scheduler knows them. State without rules; the plugin judges."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object, object_key


class Volumes:
    """Three small tables, kept current by the scheduler's shell. ``generation`` grows with every change."""

    def __init__(self) -> None:
        self.claims: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self.classes: dict[str, Object] = {}
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

    def _set(self, table: dict[str, Object], old: Object | None, new: Object | None) -> None:
        self.generation += 1
        if new is not None:
            table[object_key(new)] = new
        elif old is not None:
            table.pop(object_key(old), None)
