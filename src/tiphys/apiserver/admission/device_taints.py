"""Taints of devices say since when they are there; one that gets another effect starts anew.

Source: resource.k8s.io/v1 ``DeviceTaint.timeAdded``.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes

_GROUP = "resource.k8s.io"


class DeviceTaintTimes:
    """Fills in ``timeAdded`` in slices and in rules."""

    NAME = "DeviceTaintTimes"
    RESOURCES = frozenset({(_GROUP, "resourceslices"), (_GROUP, "devicetaintrules")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: Attributes) -> None:
        obj, old = attributes.obj or {}, attributes.old or {}
        now = rfc3339(attributes.call.backend.clock.now())
        taint, before = peek(obj, "spec", "taint"), peek(old, "spec", "taint")
        changed = before and taint.get("effect") != before.get("effect")
        if changed and taint.get("timeAdded") == before.get("timeAdded"):
            taint["timeAdded"] = now
        for missing in _taints(obj):
            if missing.get("timeAdded") is None:
                missing["timeAdded"] = now


def _taints(obj: Object) -> Iterator[Object]:
    taint = peek(obj, "spec").get("taint")
    if isinstance(taint, dict):
        yield taint
    for device in each(obj, "spec", "devices"):
        yield from each(device, "taints")
        yield from each(device, "basic", "taints")
