"""Reads a KubeSchedulerConfiguration: profiles, their plugins and arguments, backoff, leader election.

Pure: a parsed document in, a frozen ``Configuration`` out. What cannot be honoured is refused, not ignored.
Source: kubescheduler.config.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Any

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration, parse_go_duration
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.go_text import plain
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
    delay_cache_until_active: bool = False
    """Whether the cluster's state is read by who leads only."""


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
    _check_component(document, faults)
    initial, most = (
        _given(document, "podInitialBackoffSeconds", 1),
        _given(document, "podMaxBackoffSeconds", 10),
    )
    if initial <= 0:
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
        bool(document.get("delayCacheUntilActive")),
    )


def _given(raw: dict[str, Any], name: str, usual: int) -> int:
    value = raw.get(name)
    return usual if value is None else int(value)


def _check_component(document: dict[str, Any], faults: list[str]) -> None:
    """Check what every component's configuration has: how it connects, works side by side, and is elected."""
    burst = _given(document.get("clientConnection") or {}, "burst", 0)
    if burst < 0:
        faults.append(f"clientConnection.burst: Invalid value: {burst}: must be non-negative")
    parallelism = _given(document, "parallelism", 16)
    if parallelism <= 0:
        faults.append(
            f"parallelism: Invalid value: {parallelism}: should be an integer value greater than zero"
        )
    election = document.get("leaderElection") or {}
    if election.get("leaderElect", True):
        _check_election(election, faults)


def _check_election(election: dict[str, Any], faults: list[str]) -> None:
    times = {}
    for name, usual in (("leaseDuration", "15s"), ("renewDeadline", "10s"), ("retryPeriod", "2s")):
        try:
            seconds = parse_go_duration(election.get(name, usual))
        except ValueError as error:
            faults.append(f"leaderElection.{name}: {error}")
            continue
        times[name] = seconds
        if seconds <= 0:
            shown = go_duration(seconds)
            faults.append(f"leaderElection.{name}: Invalid value: {shown}: must be greater than zero")
    lease, renew = times.get("leaseDuration"), times.get("renewDeadline")
    if lease is not None and renew is not None and lease <= renew:
        text = "must be greater than `RenewDeadline`"
        faults.append(f"leaderElection.leaseDuration: Invalid value: {go_duration(renew)}: {text}")
    lock = election.get("resourceLock") or "leases"
    if lock != "leases":
        text = 'resourceLock value must be "leases"'
        faults.append(f'leaderElection.resourceLock: Invalid value: "{lock}": {text}')


def _check_queue_sort(profiles: list[dict[str, Any]], faults: list[str]) -> None:
    """The profiles share one queue, and so its order."""
    sorts = [(one.get("plugins") or {}).get("queueSort") or {} for one in profiles]
    enabled = len(sorts[0].get("enabled") or ())
    if enabled > 1:
        path = "profiles[0].plugins.queueSort.Enabled"
        faults.append(f"{path}: Invalid value: {enabled}: only one queue sort plugin can be enabled")
    for index, one in enumerate(sorts):
        if one != sorts[0]:
            shown = f"profiles[{index}].plugins.queueSort"
            faults.append(f"{shown}: Invalid value: {plain(one)}: must be the same for all profiles")


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
    first: dict[str, int] = {}
    for index, one in enumerate(raw):
        path = f"profiles[{index}]"
        name = str(one.get("schedulerName") or ("default-scheduler" if len(raw) == 1 else ""))
        if not name:
            faults.append(f"{path}.schedulerName: Required value")
        if name in first:
            faults.append(f"{path}.schedulerName: Duplicate value: profiles[{first[name]}].schedulerName")
        first[name] = index
        strange = one.keys() - {"schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore"}
        faults += [f'unknown field "{path}.{field_name}"' for field_name in sorted(strange)]
        points = _points(one.get("plugins") or {}, f"{path}.plugins", known, faults)
        args = read_arguments(one.get("pluginConfig") or (), f"{path}.pluginConfig", faults)
        own = _percentage(one, f"{path}.percentageOfNodesToScore", faults)
        made[name] = ProfileSettings(name, points, args, percentage if own is None else own)
    _check_queue_sort(raw, faults)
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
