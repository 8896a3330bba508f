"""Which pods a Service's selector means, and which Services mean a pod: looked up by one label of them.

With a thousand Services in a namespace, each change of a pod would otherwise be held against each of them.
Used by the controllers of endpoints, who share the informers and so these indexes.
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.apimachinery.meta import Object
from tiphys.client.informer import Informer

_BY_LABEL: Final = "label"
_BY_SELECTOR: Final = "selector"


def index_pods(pods: Informer) -> None:
    """Make pods findable by each of their labels; needed by ``pods_of``."""
    pods.add_index(_BY_LABEL, _labels)


def index_services(services: Informer) -> None:
    """Make Services findable by a label that they ask of pods; needed by ``services_of``."""
    services.add_index(_BY_SELECTOR, _asked_label)


def pods_of(pods: Informer, service: Object) -> list[Object]:
    """Return the pods that a Service selects; none for one without a selector."""
    chosen = _selector(service)
    if not chosen:
        return []
    namespace = _namespace(service)
    fewest = min((pods.by_index(_BY_LABEL, _key(namespace, *pair)) for pair in chosen.items()), key=len)
    return [pod for pod in fewest if chosen.items() <= _labels_of(pod).items()]


def services_of(services: Informer, pod: Object) -> list[Object]:
    """Return the Services that select a pod."""
    namespace, labels = _namespace(pod), _labels_of(pod)
    return [
        service
        for pair in labels.items()
        for service in services.by_index(_BY_SELECTOR, _key(namespace, *pair))
        if _selector(service).items() <= labels.items()
    ]


def _labels(pod: Object) -> list[str]:
    return [_key(_namespace(pod), *pair) for pair in _labels_of(pod).items()]


def _asked_label(service: Object) -> list[str]:
    """One is enough: who has not this one is not selected."""
    chosen = _selector(service)
    return [_key(_namespace(service), *min(chosen.items()))] if chosen else []


def _key(namespace: str, name: str, value: str) -> str:
    return f"{namespace}/{name}={value}"


def _namespace(obj: Object) -> str:
    return obj["metadata"].get("namespace") or ""


def _labels_of(pod: Object) -> dict[str, Any]:
    return pod["metadata"].get("labels") or {}


def _selector(service: Object) -> dict[str, Any]:
    return service["spec"].get("selector") or {}
