"""Defaults of HorizontalPodAutoscalers in both served versions."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import drop, fill_optional, peek, section
from tiphys.apis.hpa_conversion import NOTES

_CPU_PERCENT = 80
_PERIOD_S = 15


def default_v1(obj: Object) -> None:
    """Complete an ``autoscaling/v1`` autoscaler."""
    fill_optional(section(obj, "spec"), "minReplicas", 1)


def default_v2(obj: Object) -> None:
    """Complete an ``autoscaling/v2`` autoscaler: half-given behavior is completed, none is left out.

    What v1 keeps in annotations has no place beside the fields.
    """
    annotations = peek(obj, "metadata", "annotations")
    drop(annotations, *NOTES)
    if not annotations:
        drop(peek(obj, "metadata"), "annotations")
    spec = section(obj, "spec")
    fill_optional(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if not isinstance(behavior, dict):
        return
    up = section(behavior, "scaleUp")
    fill_optional(up, "stabilizationWindowSeconds", 0)
    _default_rules(up, [("Pods", 4), ("Percent", 100)])
    _default_rules(section(behavior, "scaleDown"), [("Percent", 100)])


def _default_rules(rules: Object, policies: list[tuple[str, int]]) -> None:
    fill_optional(rules, "selectPolicy", "Max")
    fill_optional(
        rules,
        "policies",
        [{"type": kind, "value": value, "periodSeconds": _PERIOD_S} for kind, value in policies],
    )


def prepare_v1(obj: Object) -> None:
    """A new autoscaler has seen nothing."""
    obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}


def prepare_v2(obj: Object) -> None:
    """A new autoscaler has seen nothing."""
    obj["status"] = {"desiredReplicas": 0, "currentMetrics": None}
