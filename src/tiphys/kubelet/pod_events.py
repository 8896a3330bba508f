"""Recording the events of a node's pods.

Those of a static pod are its manifest's, by the hash that its mirror bears: whoever describes a mirror looks
for them there, and another mirror of the same manifest has them too.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.client.events import EventRecorder

MIRROR = "kubernetes.io/config.mirror"


class PodRecorder:
    """``record`` as ``EventRecorder`` has it."""

    def __init__(self, events: EventRecorder) -> None:
        self._events = events

    def record(
        self, obj: Object, type: str = "Normal", reason: str = "", message: str = "", *, field_path: str = ""
    ) -> None:
        """Note that something happened to a pod. Never waits or fails."""
        if digest := (obj["metadata"].get("annotations") or {}).get(MIRROR):
            obj = {**obj, "metadata": {**obj["metadata"], "uid": digest}}
        self._events.record(obj, type, reason, message, field_path=field_path)
