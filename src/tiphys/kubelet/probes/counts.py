"""``/metrics/probes``: how often probes of running pods succeeded and failed."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest

from tiphys.apimachinery.meta import Object

_REGISTRY = CollectorRegistry()
_LABELS = ("container", "namespace", "pod", "pod_uid", "probe_type", "result")
_PROBES = Counter("prober_probe", "Probes of containers by result.", _LABELS, registry=_REGISTRY)


def count(pod: Object, container: str, kind: str, *, ok: bool) -> None:
    """Count one probe."""
    meta = pod["metadata"]
    result = "successful" if ok else "failed"
    _PROBES.labels(container, meta["namespace"], meta["name"], meta["uid"], kind.title(), result).inc()


def forget(pod: Object, container: str, kind: str) -> None:
    """Drop the counts of a probe that is over: pods come and go, their labels must not stay."""
    meta = pod["metadata"]
    for result in ("successful", "failed"):
        try:
            _PROBES.remove(container, meta["namespace"], meta["name"], meta["uid"], kind.title(), result)
        except KeyError:
            continue


def render_probes() -> bytes:
    """Return the text that Prometheus scrapes."""
    return generate_latest(_REGISTRY)
