"""The containers of a pod, of whatever kind they are, in the order in which upstream visits them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each

CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


def each_container(spec: Object, path: str) -> Iterator[tuple[str, Object]]:
    """Yield every container of a pod's spec with where it stands; ``path`` is that of the spec."""
    for kind in CONTAINER_LISTS:
        for index, container in enumerate(each(spec, kind)):
            yield f"{path}.{kind}[{index}]", container
