"""NodeDeclaredFeatures: a pod that needs what not every kubelet can goes where the kubelet says that it can.

Source: KEP-5328. Which updates of a bound pod need a feature is for admission to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import Filtered
from tiphys.scheduler.hints import Change
from tiphys.scheduler.plugins.static import by_node
from tiphys.scheduler.podinfo import PodInfo


def _restarts_all(spec: dict[str, Any]) -> bool:
    """A container's end may start the whole pod anew."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for group in ("containers", "initContainers")
        for container in spec.get(group) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


_FEATURES: Final[tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...]] = (
    ("RestartAllContainersOnContainerExits", _restarts_all),
)


def needed_features(spec: dict[str, Any]) -> tuple[str, ...]:
    """Return the features without which a pod cannot run as its spec says."""
    return tuple(name for name, needs in _FEATURES if needs(spec))


class NodeDeclaredFeatures:
    """Compares what a pod needs with ``status.declaredFeatures`` of nodes."""

    name = "NodeDeclaredFeatures"

    def filter(self, info: PodInfo, columns: Columns) -> Filtered | None:
        needed = needed_features(info.pod["spec"])
        if not needed:
            return None

        def reasons(row: int) -> tuple[str]:
            lacking = ", ".join(_lacking(needed, columns.nodes[row]))
            return (f"node declared features check failed - unsatisfied requirements: {lacking}",)

        passes = by_node(columns, lambda node: not any(_lacking(needed, node)))
        return Filtered(passes, reasons, unresolvable=True)

    def turns(self, info: PodInfo, change: Change, columns: Columns) -> bool:
        """A node helps that has all that is needed, and had not before."""
        needed = needed_features(info.pod["spec"])
        if change.new is None or any(_lacking(needed, change.new)):
            return False
        return change.old is None or any(_lacking(needed, change.old))


def _lacking(needed: tuple[str, ...], node: dict[str, Any] | None) -> Iterator[str]:
    declared = ((node or {}).get("status") or {}).get("declaredFeatures") or ()
    return (name for name in needed if name not in declared)
