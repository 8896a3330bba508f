"""How many volumes and claims there are, bound or not, with upstream's names. Pure.

Owns: ``pv_collector_*``, made when somebody scrapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tiphys.apimachinery.families import GaugeMetricFamily, Metric
from tiphys.apimachinery.meta import Object

_BOUND: Final = "Bound"
_OF_CLAIMS: Final = ("namespace", "storage_class", "volume_attributes_class")
_PLUGINS: Final = {
    "hostPath": "kubernetes.io/host-path",
    "nfs": "kubernetes.io/nfs",
    "local": "kubernetes.io/local-volume",
    "iscsi": "kubernetes.io/iscsi",
    "fc": "kubernetes.io/fc",
    "flexVolume": "kubernetes.io/flexvolume",
}
_UNKNOWN: Final = "N/A"


def families(volumes: Iterable[Object], claims: Iterable[Object]) -> Iterator[Metric]:
    """Yield the families of what there is."""
    kinds: Counter[tuple[str, ...]] = Counter()
    by_class: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    by_claim: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    for volume in volumes:
        spec = volume["spec"]
        kinds[plugin_of(volume), spec.get("volumeMode") or "Filesystem"] += 1
        by_class[_is_bound(volume)][(spec.get("storageClassName") or "",)] += 1
    for claim in claims:
        spec = claim["spec"]
        classes = (spec.get("storageClassName") or "", spec.get("volumeAttributesClassName") or "")
        by_claim[_is_bound(claim)][(claim["metadata"]["namespace"], *classes)] += 1
    yield _family(
        "total_pv_count", "total number of persistent volumes", ("plugin_name", "volume_mode"), kinds
    )
    for bound, word in ((True, "bound"), (False, "unbound")):
        what = f"number of persistent volume currently {word}"
        yield _family(f"{word}_pv_count", what, ("storage_class",), by_class[bound])
        what = f"number of persistent volume claim currently {word}"
        yield _family(f"{word}_pvc_count", what, _OF_CLAIMS, by_claim[bound])


def plugin_of(volume: Object) -> str:
    """Return what upstream calls the plugin that a volume is of."""
    spec = volume["spec"]
    if "csi" in spec:
        return f"kubernetes.io/csi:{spec['csi'].get('driver', '')}"
    return next((name for source, name in _PLUGINS.items() if source in spec), _UNKNOWN)


def _is_bound(thing: Object) -> bool:
    return bool((thing.get("status") or {}).get("phase") == _BOUND)


def _family(name: str, what: str, labels: tuple[str, ...], counts: Counter[tuple[str, ...]]) -> Metric:
    family = GaugeMetricFamily(f"pv_collector_{name}", f"[ALPHA] Gauge measuring {what}", labels=labels)
    family.add_all(counts)
    return family
