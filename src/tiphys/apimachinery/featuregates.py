"""Feature gates: which features there are, at what stage, and what a command line makes of them. Pure.

Owns: the list of v1.36 and the rules of setting gates, with upstream's words. Refuses: what a feature does;
who has one asks ``enabled``, or ``on`` where it is not told of the gates. Called by the commands (flags and
configuration files) and by what shows gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import Final

from tiphys.apimachinery import compatibility
from tiphys.apimachinery.compatibility import Effective, Version
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.feature_list import DEPENDENCIES, EARLIER, STAGES
from tiphys.apimachinery.go_text import BOOLS, bool_fault

ALPHA: Final = "ALPHA"
BETA: Final = "BETA"
GA: Final = ""
DEPRECATED: Final = "DEPRECATED"
PRE_ALPHA: Final = "PRE-ALPHA"
_ALL: Final = {"AllAlpha": ALPHA, "AllBeta": BETA}
"""Gates that stand for every gate of a stage which is not set by itself."""
COMPONENT: Final = "kube"
"""The one component whose gates there are; a flag may name it: ``kube:Name=true``."""


class FeatureGateError(ValueError):
    """A gate that cannot be set as asked. Its text is upstream's."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One feature: ``stage`` is empty once it is generally available."""

    name: str
    stage: str
    default: bool
    locked: bool = False


def _known() -> Iterator[Gate]:
    for stage, default, locked, names in STAGES:
        for name in names.split():
            yield Gate(name, stage, default, locked)
    for name, stage in _ALL.items():
        yield Gate(name, stage, default=False)


KNOWN: Final[Mapping[str, Gate]] = {gate.name: gate for gate in sorted(_known(), key=lambda gate: gate.name)}


def gates_at(version: Version) -> Mapping[str, Gate]:
    """Return the gates as a version had them; of gates that nobody asks here, as they are now."""
    if version == compatibility.BINARY:
        return KNOWN
    return {name: _at(gate, version) for name, gate in KNOWN.items()}


def _at(gate: Gate, version: Version) -> Gate:
    history = EARLIER.get(gate.name)
    if history is None:
        return gate
    past = [(stage, default) for since, stage, default in history if since <= version[1]]
    if not past:
        return Gate(gate.name, PRE_ALPHA, default=False, locked=True)
    stage, default = past[-1]
    return Gate(gate.name, stage, default, gate.locked and stage == gate.stage)


@dataclass(frozen=True, slots=True)
class FeatureGates:
    """What a component was told: ``asked`` are the gates that were set by name."""

    asked: Mapping[str, bool]
    effective: Effective = compatibility.DEFAULT
    known: Mapping[str, Gate] = field(default_factory=lambda: KNOWN)

    def enabled(self, name: str) -> bool:
        """Tell whether a feature is on. Raises KeyError for one that does not exist."""
        gate = self.known[name]
        if name in self.asked:
            return self.asked[name]
        for whole, stage in _ALL.items():
            if gate.stage == stage and whole in self.asked and not gate.locked:
                return self.asked[whole]
        return gate.default

    def warnings(self) -> list[str]:
        """Return what to say of gates that need not be set any more."""
        words = {GA: "GA", DEPRECATED: "deprecated"}
        return [
            f"Setting {words[self.known[name].stage]} feature gate {name}={_text(value)}. "
            "It will be removed in a future release."
            for name, value in self.asked.items()
            if self.known[name].stage in words
        ]


def resolve(asked: Mapping[str, bool], effective: Effective = compatibility.DEFAULT) -> FeatureGates:
    """Return the gates of a component. Raises FeatureGateError."""
    faults, known = [], gates_at(effective.emulated)
    for name, value in asked.items():
        gate = known.get(name)
        if gate is None:
            raise FeatureGateError(f"unrecognized feature gate: {name}")
        if gate.locked and gate.default != value:
            asked_for, locked = _text(value), _text(gate.default)
            if gate.stage == PRE_ALPHA:
                early = f"feature is PreAlpha at emulated version {compatibility.shown(effective.emulated)}"
                faults.append(f"cannot set feature gate {name} to {asked_for}, {early}")
                continue
            faults.append(f"cannot set feature gate {name} to {asked_for}, feature is locked to {locked}")
    gates = FeatureGates(dict(asked), effective, known)
    faults += _missing(gates) if not faults else []
    if faults:
        raise FeatureGateError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return gates


def _missing(gates: FeatureGates) -> Iterable[str]:
    """Yield which enabled features need others that are not."""
    for name, needed in DEPENDENCIES.items():
        off = [one for one in needed.split() if not gates.enabled(one)]
        if off and gates.enabled(name):
            yield f"{name} is enabled, but depends on features that are disabled: [{' '.join(off)}]"


def parse(text: str) -> dict[str, bool]:
    """Read ``A=true,B=false``, each with its component before a colon or without. Raises FeatureGateError."""
    found: dict[str, bool] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        component, colon, gate = name.partition(":")
        if colon and component != COMPONENT:
            raise FeatureGateError(f"component not registered: {component}")
        name = gate if colon else name
        if not equals:
            raise FeatureGateError(f"missing bool value for {name}")
        if fault := bool_fault(value):
            raise FeatureGateError(f"invalid value of {name}={value}, err: {fault}")
        found[name] = BOOLS[value]
    return found


def _text(value: bool) -> str:
    return "true" if value else "false"


DEFAULTS: Final = resolve({})
_PRESENT: ContextVar[FeatureGates] = ContextVar("feature_gates", default=DEFAULTS)


def on(name: str) -> bool:
    """Tell whether a feature is on for what runs now: for rules, which are asked by servers of any gates."""
    return _PRESENT.get().enabled(name)


@contextmanager
def using(gates: FeatureGates) -> Iterator[None]:
    """Make these the gates of what runs for a while."""
    token = _PRESENT.set(gates)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def changed(gates: FeatureGates) -> bool:
    """Tell whether any feature is otherwise than it is by itself."""
    return any(gates.enabled(name) is not DEFAULTS.enabled(name) for name in KNOWN)
