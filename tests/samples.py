"""Figures of a registry that other tests count in as well: what matters is how far they went."""

from __future__ import annotations

from tiphys.apimachinery.families import Registry


class Since:
    """How far samples went since this was made. ``prefix``: what the names begin with that are asked for."""

    def __init__(self, registry: Registry, prefix: str = "") -> None:
        self._registry = registry
        self._prefix = prefix
        self._before = self._all()

    def _all(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self._registry.collect()
            for sample in family.samples
        }

    def __call__(self, name: str, /, **labels: str) -> float:
        key = (self._prefix + name, tuple(sorted(labels.items())))
        # A sum of seconds is a float: what others added before leaves its last digits in the difference.
        return round(self._all().get(key, 0) - self._before.get(key, 0), 6)
