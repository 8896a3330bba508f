"""Reads a KubeSchedulerConfiguration: profiles, their plugins and arguments, backoff, leader election.

Pure: a parsed document in, a frozen ``Configuration`` out. What cannot be honoured is refused, not ignored.
Source: kubescheduler.config.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tiphys.apimachinery.errors import TiphysError
from tiphys.scheduler.arguments import Arguments, read_arguments
from tiphys.scheduler.extender_config import ExtenderSettings, read_extenders

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"

PLUGINS = frozenset(
    {"SchedulingGates", "PrioritySort", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity"}
    | {"NodePorts", "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding"}
    | {"VolumeZone", "PodTopologySpread", "InterPodAffinity", "DynamicResources", "DefaultPreemption"}
    | {"NodeResourcesBalancedAllocation", "ImageLocality", "DefaultBinder", "NodeDeclaredFeatures"}
)
_WORKING_POINTS = ("multiPoint", "filter", "score", "postFilter")
_OTHER_POINTS = (
    *("preEnqueue", "queueSort", "preFilter", "preScore", "reserve", "permit", "preBind", "bind", "postBind"),
)
_TOP = {
    *("apiVersion", "kind", "profiles", "percentageOfNodesToScore", "podInitialBackoffSeconds"),
    *("podMaxBackoffSeconds", "leaderElection", "clientConnection", "parallelism", "delayCacheUntilActive"),
    *("enableProfiling", "enableContentionProfiling", "extenders"),
}


class BadConfiguration(TiphysError):
    """The document asks for something wrong or for what this scheduler does not do."""


@dataclass(frozen=True, slots=True)
class Switches:
    """What one extension point of a profile turns on and off; names of plugins, ``*`` is all."""

    enabled: dict[str, int] = field(default_factory=dict)
    """Each with its weight; 0: the usual one."""
    disabled: frozenset[str] = frozenset()

    def decides(self, name: str) -> bool | None:
        """Say whether the plugin is on here; None when nothing is said."""
        if name in self.enabled:
            return True
        return False if name in self.disabled or "*" in self.disabled else None


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """One profile: whose pods it places, and how it differs from the usual one."""

    name: str = "default-scheduler"
    points: dict[str, Switches] = field(default_factory=dict)
    arguments: Arguments = field(default=Arguments())
    percentage: int | None = None
    """How many of a hundred nodes are scored; 0: fewer, the more there are; None, nobody says: all are."""

    def is_on(self, plugin: str, point: str, *, usual: bool = True) -> bool:
        """Say whether a plugin works at ``filter``, ``score`` or ``postFilter``: the closer word wins."""
        for where in (point, "multiPoint"):
            said = self.points.get(where, Switches()).decides(plugin)
            if said is not None:
                return said
        return usual

    def weight(self, plugin: str, usual: float) -> float:
        """Return what the plugin's score weighs."""
        for where in ("score", "multiPoint"):
            said = self.points.get(where, Switches()).enabled.get(plugin)
            if said:
                return float(said)
        return usual


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole document. ``leader_election`` keeps the fields that were given."""

    profiles: tuple[ProfileSettings, ...] = (ProfileSettings(),)
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    leader_election: dict[str, Any] = field(default_factory=dict)
    extenders: tuple[ExtenderSettings, ...] = ()


def read_configuration(document: Any, known: Iterable[str] = ()) -> Configuration:
    """Read a document; ``known`` names plugins of other packages.

    Raises:
        BadConfiguration: with every fault, one a line.
    """
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise BadConfiguration(f"the configuration is no {KIND}")
    if document.get("apiVersion") != API_VERSION:
        raise BadConfiguration(
            f'no kind "{KIND}" is registered for version "{document.get("apiVersion")}" in scheme'
        )
    faults = [f'unknown field "{name}"' for name in sorted(document.keys() - _TOP)]
    extenders = read_extenders(document.get("extenders") or (), faults)
    percentage = _percentage(document, "percentageOfNodesToScore", faults)
    initial, most = document.get("podInitialBackoffSeconds") or 1, document.get("podMaxBackoffSeconds") or 10
    if initial < 0:
        faults.append(f"podInitialBackoffSeconds: Invalid value: {initial}: must be greater than 0")
    if most < initial:
        faults.append(
            f"podMaxBackoffSeconds: Invalid value: {most}: must be greater than or equal to "
            "PodInitialBackoffSeconds"
        )
    profiles = _profiles(document.get("profiles") or [{}], frozenset(known) | PLUGINS, percentage, faults)
    if faults:
        raise BadConfiguration("\n".join(faults))
    unchecked = frozenset(name for one in extenders for name in one.unchecked)
    return Configuration(
        tuple(replace(one, arguments=one.arguments.ignoring(unchecked)) for one in profiles),
        float(initial),
        float(most),
        dict(document.get("leaderElection") or {}),
        extenders,
    )


def _percentage(raw: dict[str, Any], path: str, faults: list[str]) -> int | None:
    percentage = raw.get("percentageOfNodesToScore")
    if percentage is None:
        return None
    if not 0 <= percentage <= 100:
        faults.append(f"{path}: Invalid value: {percentage}: not in valid range [0-100]")
    return int(percentage)


def _profiles(
    raw: list[dict[str, Any]], known: frozenset[str], percentage: int | None, faults: list[str]
) -> tuple[ProfileSettings, ...]:
    made: dict[str, ProfileSettings] = {}
    for index, one in enumerate(raw):
        path = f"profiles[{index}]"
        name = str(one.get("schedulerName") or ("default-scheduler" if len(raw) == 1 else ""))
        if not name:
            faults.append(f"{path}.schedulerName: Required value")
        if name in made:
            faults.append(f'{path}.schedulerName: Duplicate value: "{name}"')
        strange = one.keys() - {"schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore"}
        faults += [f'unknown field "{path}.{field_name}"' for field_name in sorted(strange)]
        points = _points(one.get("plugins") or {}, f"{path}.plugins", known, faults)
        args = read_arguments(one.get("pluginConfig") or (), f"{path}.pluginConfig", faults)
        own = _percentage(one, f"{path}.percentageOfNodesToScore", faults)
        made[name] = ProfileSettings(name, points, args, percentage if own is None else own)
    return tuple(made.values())


def _points(raw: dict[str, Any], path: str, known: frozenset[str], faults: list[str]) -> dict[str, Switches]:
    points: dict[str, Switches] = {}
    for point, value in raw.items():
        if point not in (*_WORKING_POINTS, *_OTHER_POINTS):
            faults.append(f'unknown field "{path}.{point}"')
            continue
        enabled = {one["name"]: int(one.get("weight") or 0) for one in value.get("enabled") or ()}
        disabled = frozenset(one["name"] for one in value.get("disabled") or ())
        faults += [
            f'{path}.{point}.enabled: Invalid value: "{name}": plugin does not exist'
            for name in sorted(enabled.keys() - known)
        ]
        if point in _OTHER_POINTS and disabled:
            faults.append(f"{path}.{point}.disabled: not supported: turn the plugin off at multiPoint")
        points[point] = Switches(enabled, disabled)
    return points
