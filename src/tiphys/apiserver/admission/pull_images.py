"""AlwaysPullImages: who may run an image is asked of its registry each time, not of a node's disk."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.field_errors import not_supported
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes

_ALWAYS = "Always"
_LISTS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages:
    """Sets the pull policy of a pod's images, and sees that nobody has set it back."""

    NAME = "AlwaysPullImages"
    RESOURCES = frozenset({("", "pods")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is None or _brings_no_image(attributes):
            return
        for _, holder, key in _policies(attributes.obj):
            holder[key] = _ALWAYS

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None or _brings_no_image(attributes):
            return
        refusals = [
            attributes.refuse(str(not_supported(path, holder.get(key) or "", (_ALWAYS,)))).message
            for path, holder, key in _policies(attributes.obj)
            if holder.get(key) != _ALWAYS
        ]
        if refusals:
            raise StatusError(refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]")


def _policies(pod: Object) -> Iterator[tuple[str, Object, str]]:
    """Yield where pull policies stand: path, the object that has it, its key."""
    for name in _LISTS:
        for number, container in enumerate(each(pod, "spec", name)):
            yield f"spec.{name}[{number}].imagePullPolicy", container, "imagePullPolicy"
    for number, volume in enumerate(each(pod, "spec", "volumes")):
        if volume.get("image") is not None:
            yield f"spec.volumes[{number}].image.pullPolicy", volume["image"], "pullPolicy"


def _brings_no_image(attributes: Attributes) -> bool:
    """Tell whether this is an update after which the pod runs no image that it did not run before."""
    if attributes.operation != "UPDATE" or attributes.obj is None or attributes.old is None:
        return False
    return _images(attributes.obj) <= _images(attributes.old)


def _images(pod: Object) -> set[str]:
    containers = [one for name in _LISTS for one in each(pod, "spec", name)]
    found = {str(one.get("image") or "") for one in containers}
    return found | {
        str(peek(volume, "image").get("reference") or "")
        for volume in each(pod, "spec", "volumes")
        if volume.get("image") is not None
    }
