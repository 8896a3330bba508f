"""``/metrics/probes``: how often probes of running pods succeeded and failed."""

from __future__ import annotations

from tiphys.apimachinery.families import Registry, text_of
from tiphys.apimachinery.meta import Object
from tiphys.client.counting import Counts

_REGISTRY = Registry()
_LABELS = ("container", "namespace", "pod", "pod_uid", "probe_type", "result")
_PROBES = Counts("prober_probe", "Probes of containers by result.", _LABELS, _REGISTRY)


def count(pod: Object, container: str, kind: str, *, ok: bool) -> None:
    """Count one probe."""
    meta = pod["metadata"]
    result = "successful" if ok else "failed"
    _PROBES.labels(container, meta["namespace"], meta["name"], meta["uid"], kind.title(), result).inc()


def forget(pod: Object, container: str, kind: str) -> None:
    """Drop the counts of a probe that is over: pods come and go, their labels must not stay."""
    meta = pod["metadata"]
    for result in ("successful", "failed"):
        _PROBES.remove(container, meta["namespace"], meta["name"], meta["uid"], kind.title(), result)


def render_probes() -> bytes:
    """Return the text that Prometheus scrapes."""
    return text_of(_REGISTRY.collect())
