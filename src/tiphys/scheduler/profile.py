"""The one ordered list of plugins, with upstream's default weights; entry points add more.

A package adds a plugin with an entry point in the group ``tiphys.scheduler.plugins``: a callable without
arguments that returns an object with ``name`` and ``filter`` and/or ``score``.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from tiphys.scheduler.config import ProfileSettings
from tiphys.scheduler.framework import FilterPlugin, Profile, ScorePlugin
from tiphys.scheduler.plugins.declared import NodeDeclaredFeatures
from tiphys.scheduler.plugins.demand import Demands
from tiphys.scheduler.plugins.dynamic import DynamicResources
from tiphys.scheduler.plugins.limits import NodeVolumeLimits, VolumeRestrictions, VolumeZone
from tiphys.scheduler.plugins.resources import BalancedAllocation, ImageLocality, NodePorts, NodeResourcesFit
from tiphys.scheduler.plugins.static import (
    NamedNodes,
    NodeAffinity,
    NodeName,
    NodeUnschedulable,
    TaintToleration,
)
from tiphys.scheduler.plugins.topology import InterPodAffinity, PodTopologySpread
from tiphys.scheduler.plugins.volumes import VolumeBinding, VolumeClaims

ENTRY_POINT_GROUP = "tiphys.scheduler.plugins"


def default_profile(extra: tuple[Any, ...] = ()) -> Profile:
    """Return a fresh profile (plugins keep caches, so one for each scheduler)."""
    return make_profile(ProfileSettings(), extra)


def make_profile(settings: ProfileSettings, extra: tuple[Any, ...] = ()) -> Profile:
    """Return a fresh profile as the settings have it; ``extra`` come after the built-in plugins."""
    told = settings.arguments
    taints, affinity = TaintToleration(), NodeAffinity(told.added_affinity)
    demands = Demands(told.judgement)
    fit, spread = NodeResourcesFit(demands), PodTopologySpread(told.spread_defaults)
    pods = InterPodAffinity(told.hard_affinity_weight, ignore_others_wishes=told.ignore_others_wishes)
    filters: list[FilterPlugin] = [
        NamedNodes(),
        VolumeClaims(),
        NodeUnschedulable(),
        NodeName(),
        taints,
        affinity,
        NodePorts(),
        fit,
        VolumeRestrictions(),
        NodeVolumeLimits(),
        VolumeBinding(),
        VolumeZone(),
        DynamicResources(),
        spread,
        pods,
        NodeDeclaredFeatures(),
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
    return Profile(
        tuple(plugin for plugin in filters if settings.is_on(plugin.name, "filter")),
        tuple(
            (plugin, settings.weight(plugin.name, weight))
            for plugin, weight in scores
            if settings.is_on(plugin.name, "score")
        ),
        preempts=settings.is_on("DefaultPreemption", "postFilter"),
        deallocates=settings.is_on("DynamicResources", "postFilter"),
        percentage=settings.percentage,
    )


def installed_plugins() -> tuple[Any, ...]:
    """Make every plugin that installed packages offer."""
    return tuple(point.load()() for point in entry_points(group=ENTRY_POINT_GROUP))
