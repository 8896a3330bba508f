"""Which pods belong with a pod whose own spec does not say: those of its Services and of its controller.

Pure state under ``Columns``. What is found is kept until a Service or a controller's selector changes.
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.apimachinery.meta import Object, object_key
from tiphys.scheduler.podinfo import PodInfo

_KEPT: Final = 8192
_PLAIN: Final = "ReplicationController"
_CONTROLLERS: Final = {_PLAIN: "v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1"}


class Siblings:
    """Selectors of Services and controllers, and what they together select for a pod."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, dict[str, str]]] = {}
        self._controllers: dict[tuple[str, str], dict[str, Any]] = {}
        self._found: dict[tuple[bytes, str], dict[str, Any]] = {}

    def set_service(self, old: Object | None, new: Object | None) -> None:
        """Take a Service's selector (``new`` None: it is gone)."""
        subject = new or old
        if subject is None:
            return
        meta = subject["metadata"]
        selector = (new["spec"].get("selector") or {}) if new is not None else {}
        of_namespace = self._services.setdefault(meta["namespace"], {})
        if of_namespace.get(meta["name"], {}) == selector:
            return
        if selector:
            of_namespace[meta["name"]] = selector
        else:
            of_namespace.pop(meta["name"])
        self._found.clear()

    def set_controller(self, old: Object | None, new: Object | None) -> None:
        """Take the selector of a ReplicationController, ReplicaSet or StatefulSet."""
        subject = new or old
        if subject is None:
            return
        key = (subject["kind"], object_key(subject))
        selector = _selector_of(new) if new is not None else {}
        if self._controllers.get(key, {}) == selector:
            return
        if selector:
            self._controllers[key] = selector
        else:
            self._controllers.pop(key)
        self._found.clear()

    def selector(self, info: PodInfo) -> dict[str, Any]:
        """Return the label selector of the pods that belong with ``info``; empty: nothing says."""
        owner = _controller(info.pod)
        key = (info.group, owner["uid"] if owner else "")
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _KEPT:
                self._found.clear()
            found = self._found[key] = self._find(info, owner)
        return found

    def _find(self, info: PodInfo, owner: dict[str, Any] | None) -> dict[str, Any]:
        labels: dict[str, str] = {}
        for selector in self._services.get(info.namespace, {}).values():
            if selector.items() <= info.labels.items():
                labels |= selector
        expressions: list[Any] = []
        if owner is not None and _CONTROLLERS.get(owner["kind"]) == owner["apiVersion"]:
            own = self._controllers.get((owner["kind"], f"{info.namespace}/{owner['name']}"), {})
            labels |= own.get("matchLabels") or {}
            expressions += own.get("matchExpressions") or ()
        found: dict[str, Any] = {}
        if labels:
            found["matchLabels"] = labels
        if expressions:
            found["matchExpressions"] = expressions
        return found


def _selector_of(controller: Object) -> dict[str, Any]:
    selector = controller["spec"].get("selector") or {}
    return {"matchLabels": selector} if selector and controller["kind"] == _PLAIN else selector


def _controller(pod: Object) -> dict[str, Any] | None:
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None
