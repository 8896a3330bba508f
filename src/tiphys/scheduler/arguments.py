"""Reads the ``pluginConfig`` of a scheduler profile: what its plugins are told.

Pure. Faults are collected, each with its path and upstream's words; what cannot be honoured is refused.
Source: kubescheduler.config.k8s.io/v1, the ``*Args`` kinds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Any

from tiphys.apimachinery.cel.values import parse_duration
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.names import is_qualified_name
from tiphys.scheduler.plugins.demand import Judgement
from tiphys.scheduler.plugins.strategy import CORE_RESOURCES, LEAST, RATIO, STRATEGIES, Strategy
from tiphys.scheduler.plugins.topology import SYSTEM_SPREAD, SpreadDefaults

_ARGS = {
    "NodeAffinityArgs": {"addedAffinity"},
    "InterPodAffinityArgs": {"hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"},
    "VolumeBindingArgs": {"bindTimeoutSeconds"},
    "DefaultPreemptionArgs": {"minCandidateNodesPercentage", "minCandidateNodesAbsolute"},
    "NodeResourcesFitArgs": {"scoringStrategy", "ignoredResources", "ignoredResourceGroups"},
    "NodeResourcesBalancedAllocationArgs": {"resources"},
    "PodTopologySpreadArgs": {"defaultingType", "defaultConstraints"},
    "DynamicResourcesArgs": {"filterTimeout", "bindingTimeout"},
}
_WITHIN = {
    "scoringStrategy": {"type", "resources", "requestedToCapacityRatio"},
    "requestedToCapacityRatio": {"shape"},
    "resources": {"name", "weight"},
    "shape": {"utilization", "score"},
    "addedAffinity": {
        *(
            "requiredDuringSchedulingIgnoredDuringExecution",
            "preferredDuringSchedulingIgnoredDuringExecution",
        ),
    },
}
_GROUP = "kubescheduler.config.k8s.io"
_PERCENT, _SHAPE_TOP = 100, 10
_WHEN = ("DoNotSchedule", "ScheduleAnyway")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What one profile's plugins are told."""

    added_affinity: dict[str, Any] = field(default_factory=dict)
    bind_timeout_s: float = 600.0
    device_timeout_s: float = 600.0
    """How long devices may take to be made ready for a pod's node."""
    judgement: Judgement = field(default=Judgement())
    hard_affinity_weight: int = 1
    ignore_others_wishes: bool = False
    """Preferred terms of placed pods count only for pods with such terms of their own."""
    spread_defaults: SpreadDefaults = SYSTEM_SPREAD

    def ignoring(self, resources: frozenset[str]) -> Arguments:
        """Return the same, with more extended resources that nodes need not have."""
        judgement = replace(self.judgement, ignored=self.judgement.ignored | resources)
        return replace(self, judgement=judgement)


class _Faults:
    """Collects faults under one path."""

    def __init__(self, path: str, into: list[str]) -> None:
        self.path = path
        self.into = into

    def at(self, name: str) -> _Faults:
        return _Faults(f"{self.path}{name}", self.into)

    def add(self, text: str) -> None:
        self.into.append(f"{self.path}: {text}")

    def invalid(self, value: object, text: str) -> None:
        shown = f'"{value}"' if isinstance(value, str) else value
        self.add(f"Invalid value: {shown}: {text}")

    def in_range(self, value: int, low: int, high: int) -> None:
        if not low <= value <= high:
            self.invalid(value, f"not in valid range [{low}, {high}]")


def read_arguments(raw: Iterable[dict[str, Any]], path: str, faults: list[str]) -> Arguments:
    """Read a profile's list; faults are added to ``faults``."""
    found = _by_plugin(raw, path, faults)
    of: dict[str, tuple[dict[str, Any], _Faults]] = {
        name: (args, _Faults(f"{path}[{index}].args", faults)) for name, (index, args) in found.items()
    }
    nobody: tuple[dict[str, Any], _Faults] = ({}, _Faults(path, faults))
    pods, pods_faults = of.get("InterPodAffinity", nobody)
    hard = int(pods.get("hardPodAffinityWeight", 1))
    pods_faults.at(".hardPodAffinityWeight").in_range(hard, 0, _PERCENT)
    volumes, volumes_faults = of.get("VolumeBinding", nobody)
    timeout = volumes.get("bindTimeoutSeconds", 600)
    if timeout < 0:
        text = "invalid BindTimeoutSeconds, should not be a negative value"
        volumes_faults.at(".bindTimeoutSeconds").invalid(timeout, text)
    _check_preemption(*of.get("DefaultPreemption", nobody))
    _check_filter_timeout(*of.get("DynamicResources", nobody))
    fit, fit_faults = of.get("NodeResourcesFit", nobody)
    judgement = Judgement(
        _strategy(fit.get("scoringStrategy"), fit_faults.at(".scoringStrategy")),
        _balanced(*of.get("NodeResourcesBalancedAllocation", nobody)),
        frozenset(_names(fit, "ignoredResources", fit_faults)),
        frozenset(_names(fit, "ignoredResourceGroups", fit_faults)),
    )
    return Arguments(
        of.get("NodeAffinity", nobody)[0].get("addedAffinity") or {},
        float(timeout or 600),
        _binding_timeout_s(*of.get("DynamicResources", nobody)),
        judgement,
        hard,
        bool(pods.get("ignorePreferredTermsOfExistingPods")),
        _spread_defaults(*of.get("PodTopologySpread", nobody)),
    )


def _spread_defaults(args: dict[str, Any], faults: _Faults) -> SpreadDefaults:
    kind, said = str(args.get("defaultingType") or "System"), args.get("defaultConstraints") or []
    if kind not in ("System", "List"):
        faults.at(".defaultingType").add(f'Unsupported value: "{kind}": supported values: "System", "List"')
    elif kind == "System" and said:
        faults.at(".defaultingType").invalid(kind, "when .defaultConstraints are not empty")
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(said):
        at = faults.at(f".defaultConstraints[{index}]")
        key, when = str(one.get("topologyKey") or ""), str(one.get("whenUnsatisfiable") or "")
        if int(one.get("maxSkew") or 0) <= 0:
            at.at(".maxSkew").invalid(int(one.get("maxSkew") or 0), "not in valid range (0, inf)")
        if not key:
            at.at(".topologyKey").add("Required value: can not be empty")
        for text in is_qualified_name(key) if key else ():
            at.at(".topologyKey").invalid(key, text)
        if not when:
            at.at(".whenUnsatisfiable").add("Required value: can not be empty")
        elif when not in _WHEN:
            supported = ", ".join(f'"{value}"' for value in _WHEN)
            at.at(".whenUnsatisfiable").add(f'Unsupported value: "{when}": supported values: {supported}')
        if one.get("labelSelector") is not None:
            at.at(".labelSelector").add(
                "Forbidden: constraint must not define a selector, as they deduced for each pod"
            )
        if (key, when) in seen:
            at.add(f'Duplicate value: "{{{key}, {when}}}"')
        seen.add((key, when))
    return SYSTEM_SPREAD if kind == "System" else SpreadDefaults(tuple(said))


def _by_plugin(
    raw: Iterable[dict[str, Any]], path: str, faults: list[str]
) -> dict[str, tuple[int, dict[str, Any]]]:
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for index, one in enumerate(raw):
        name, args = str(one.get("name") or ""), dict(one.get("args") or {})
        args.pop("apiVersion", None)
        kind = str(args.pop("kind", None) or f"{name}Args")
        if name in found:
            faults.append(f'{path}[{index}]: Duplicate value: "{name}"')
        wanted = f"{name}Args"
        if wanted in _ARGS and kind != wanted:
            text = f"args for plugin {name} were not of type {wanted}.{_GROUP}, got {kind}.{_GROUP}"
            faults.append(f"decoding .{path}[{index}]: {text}")
            continue
        for argument in args:
            where = f"{path}[{index}].args.{argument}"
            if argument not in _ARGS.get(kind, ()):
                faults.append(f'unknown field "{where}"')
        faults += [f'unknown field "{where}"' for where in _strange(args, f"{path}[{index}].args")]
        found[name] = (index, args)
    return found


def _strange(value: Any, path: str) -> Iterable[str]:
    """Yield the fields within arguments that nobody knows; a list's items have the fields of its own."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        known = _WITHIN.get(name)
        if known is None:
            continue
        parts = (
            [(f"{path}.{name}[{at}]", one) for at, one in enumerate(inner)] if isinstance(inner, list) else []
        )
        for where, part in parts or [(f"{path}.{name}", inner)]:
            if isinstance(part, dict):
                yield from (f"{where}.{field_name}" for field_name in sorted(part.keys() - known))
                yield from _strange(part, where)


def _binding_timeout_s(args: dict[str, Any], faults: _Faults) -> float:
    text = args.get("bindingTimeout")
    if text is None:
        return Arguments().device_timeout_s
    try:
        seconds = parse_duration(str(text)).nanoseconds / 1e9
    except ValueError:
        faults.at(".bindingTimeout").invalid(str(text), f'time: invalid duration "{text}"')
        return 0.0
    if seconds < 1:
        faults.at(".bindingTimeout").add(f"Invalid value: {go_duration(seconds)}: must be at least 1 second")
    return seconds


def _check_filter_timeout(args: dict[str, Any], faults: _Faults) -> None:
    text = args.get("filterTimeout")
    if text is None:
        return
    at = faults.at(".filterTimeout")
    try:
        seconds = parse_duration(str(text)).nanoseconds / 1e9
    except ValueError:
        at.invalid(str(text), f'time: invalid duration "{text}"')
        return
    if seconds < 0:
        at.add(f"Invalid value: {go_duration(seconds)}: must be zero or positive")


def _check_preemption(args: dict[str, Any], faults: _Faults) -> None:
    """Judge how few nodes may be looked at: this scheduler looks at all of them, which is never fewer."""
    percentage = args.get("minCandidateNodesPercentage", 10)
    absolute = args.get("minCandidateNodesAbsolute", 100)
    faults.at(".minCandidateNodesPercentage").in_range(percentage, 0, _PERCENT)
    if absolute < 0:
        faults.at(".minCandidateNodesAbsolute").invalid(absolute, "not in valid range [0, inf)")
    if percentage == absolute == 0:
        for name, other in (("Percentage", "Absolute"), ("Absolute", "Percentage")):
            text = f"cannot be zero at the same time as minCandidateNodes{other}"
            faults.at(f".minCandidateNodes{name}").invalid(0, text)


def _strategy(raw: dict[str, Any] | None, faults: _Faults) -> Strategy:
    if not raw:
        return Strategy()
    kind = str(raw.get("type") or LEAST)
    if kind not in STRATEGIES:
        supported = ", ".join(f'"{one}"' for one in STRATEGIES)
        faults.at(".type").add(f'Unsupported value: "{kind}": supported values: {supported}')
    resources = []
    for index, one in enumerate(raw.get("resources") or ()):
        weight = int(one.get("weight") or 1)
        if not 0 < weight <= _PERCENT:
            text = f"resource weight of {one.get('name')} not in valid range (0, 100]"
            faults.at(f".resources[{index}].weight").invalid(weight, text)
        resources.append((str(one.get("name") or ""), weight))
    ratio = raw.get("requestedToCapacityRatio")
    shape: tuple[tuple[int, int], ...] = ()
    if kind == RATIO and ratio is None:
        faults.at(".requestedToCapacityRatio").add(f"Required value: must be specified when type is {RATIO}")
    elif kind == RATIO:
        shape = _shape((ratio or {}).get("shape") or (), faults.at(".requestedToCapacityRatio.shape"))
    elif ratio is not None:
        faults.at(".requestedToCapacityRatio").add(f"Forbidden: must be nil when type is not {RATIO}")
    return Strategy(kind, tuple(resources) or CORE_RESOURCES, shape)


def _shape(raw: Iterable[dict[str, Any]], faults: _Faults) -> tuple[tuple[int, int], ...]:
    points = [(int(one.get("utilization") or 0), int(one.get("score") or 0)) for one in raw]
    if not points:
        faults.add("Required value: at least one point must be specified")
    for index in range(1, len(points)):
        if points[index - 1][0] >= points[index][0]:
            text = "values must be sorted in increasing order"
            faults.at(f"[{index}].utilization").invalid(points[index][0], text)
            break
    for index, (utilization, score) in enumerate(points):
        faults.at(f"[{index}].utilization").in_range(utilization, 0, _PERCENT)
        faults.at(f"[{index}].score").in_range(score, 0, _SHAPE_TOP)
    return tuple(points)


def _balanced(args: dict[str, Any], faults: _Faults) -> tuple[str, ...]:
    names: list[str] = []
    for index, one in enumerate(args.get("resources") or ()):
        name, weight = str(one.get("name") or ""), int(one.get("weight") or 1)
        if name in names:
            faults.at(f".resources[{index}].name").add(f'Duplicate value: "{name}"')
        if weight != 1:
            faults.at(f".resources[{index}].weight").invalid(weight, "must be 1")
        names.append(name)
    return tuple(names) or tuple(name for name, _ in CORE_RESOURCES)


def _names(args: dict[str, Any], field_name: str, faults: _Faults) -> Iterable[str]:
    for index, name in enumerate(args.get(field_name) or ()):
        at = faults.at(f".{field_name}[{index}]")
        if field_name == "ignoredResourceGroups" and "/" in name:
            at.invalid(name, "resource group name can't contain '/'")
        for text in is_qualified_name(name):
            at.invalid(name, text)
        yield name
