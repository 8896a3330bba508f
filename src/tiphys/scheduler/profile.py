"""The one ordered list of plugins, with upstream's default weights; entry points add more.

A package adds a plugin with an entry point in the group ``tiphys.scheduler.plugins``: a callable without
arguments that returns an object with ``name`` and ``filter`` and/or ``score``.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from tiphys.scheduler.framework import FilterPlugin, Profile, ScorePlugin
from tiphys.scheduler.plugins.demand import Demands
from tiphys.scheduler.plugins.resources import BalancedAllocation, ImageLocality, NodePorts, NodeResourcesFit
from tiphys.scheduler.plugins.static import NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from tiphys.scheduler.plugins.topology import InterPodAffinity, PodTopologySpread
from tiphys.scheduler.plugins.volumes import VolumeBinding, VolumeClaims

ENTRY_POINT_GROUP = "tiphys.scheduler.plugins"


def default_profile(extra: tuple[Any, ...] = ()) -> Profile:
    """Return a fresh profile (plugins keep caches, so one for each scheduler)."""
    taints, affinity = TaintToleration(), NodeAffinity()
    demands = Demands()
    fit, spread, pods = NodeResourcesFit(demands), PodTopologySpread(), InterPodAffinity()
    filters: list[FilterPlugin] = [
        VolumeClaims(),
        NodeUnschedulable(),
        NodeName(),
        taints,
        affinity,
        NodePorts(),
        fit,
        VolumeBinding(),
        spread,
        pods,
    ]
    scores: list[tuple[ScorePlugin, float]] = [
        (taints, 3),
        (affinity, 2),
        (spread, 2),
        (pods, 2),
        (fit, 1),
        (BalancedAllocation(demands), 1),
        (ImageLocality(), 1),
    ]
    for plugin in extra:
        if hasattr(plugin, "filter"):
            filters.append(plugin)
        if hasattr(plugin, "score"):
            scores.append((plugin, float(getattr(plugin, "weight", 1))))
    return Profile(tuple(filters), tuple(scores))


def installed_plugins() -> tuple[Any, ...]:
    """Make every plugin that installed packages offer."""
    return tuple(point.load()() for point in entry_points(group=ENTRY_POINT_GROUP))
