"""When what stands behind a Service last changed: the time that slices and Endpoints are marked with.

It lets others measure how long a change takes to reach them. State without I/O, one for each controller.
Source: the annotation ``endpoints.kubernetes.io/last-change-trigger-time``.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.meta import Object, get_condition, object_key

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """Remembers by service which times were seen. Times are texts of one form, so they compare as such."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}

    def observe(self, service: Object, pods: Sequence[Object]) -> str:
        """Return the earliest time that is new since the last look; '' when nothing is."""
        key = object_key(service)
        before = self._seen.get(key, {})
        times = {"": str(service["metadata"].get("creationTimestamp") or "")}
        for pod in pods:
            ready = get_condition(pod, "Ready") or {}
            times[pod["metadata"]["name"]] = str(ready.get("lastTransitionTime") or "")
        self._seen[key] = times
        return min((time for name, time in times.items() if time > before.get(name, "")), default="")

    def forget(self, key: str) -> None:
        """Drop a service that is gone."""
        self._seen.pop(key, None)


def marked(metadata: Object, time: str) -> Object:
    """Return metadata that bears this time, or none where nothing new triggered the write."""
    annotations = {
        key: one for key, one in (metadata.get("annotations") or {}).items() if key != TRIGGER_TIME
    }
    if time:
        annotations[TRIGGER_TIME] = time
    rest = {key: one for key, one in metadata.items() if key != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest
