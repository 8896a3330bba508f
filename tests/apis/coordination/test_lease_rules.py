"""Faults of leases, of those who would hold them, of priority classes and runtime classes."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.strategies import strategy_for

LEASE = GVK("coordination.k8s.io", "v1", "Lease")
CANDIDATE = GVK("coordination.k8s.io", "v1beta1", "LeaseCandidate")
PRIORITY = GVK("scheduling.k8s.io", "v1", "PriorityClass")
RUNTIME = GVK("node.k8s.io", "v1", "RuntimeClass")
OLDEST = "OldestEmulationVersion"
GOOD = {"leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.36.0", "strategy": OLDEST}
RESERVED = (
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
    "error: "
)


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def priority(name: str, value: int, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value, **fields}


CASES: dict[str, tuple[GVK, dict[str, Any], list[str]]] = {
    "strategy": (LEASE, spec(strategy=OLDEST, preferredHolder="x"), []),
    "own strategy": (LEASE, spec(strategy="acme.io/mine"), []),
    "unknown strategy": (
        LEASE,
        spec(strategy="Newest"),
        [f'spec.strategy.strategy: Unsupported value: "Newest": supported values: "{OLDEST}"'],
    ),
    "holder alone": (
        LEASE,
        spec(preferredHolder="x"),
        ["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
    ),
    "transitions": (
        LEASE,
        spec(leaseTransitions=-1),
        ["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
    ),
    "candidate": (CANDIDATE, {"spec": GOOD}, []),
    "empty candidate": (
        CANDIDATE,
        spec(),
        [
            "spec.leaseName: Required value",
            "spec.binaryVersion: Required value",
            "spec.strategy: Required value",
        ],
    ),
    "emulates the future": (
        CANDIDATE,
        {"spec": {**GOOD, "binaryVersion": "1.9.0", "emulationVersion": "1.10.0"}},
        [
            'spec.binaryVersion: Invalid value: "1.9.0": must be greater than or equal to `emulationVersion`',
        ],
    ),
    "no version": (
        CANDIDATE,
        {"spec": {**GOOD, "binaryVersion": "1.36"}},
        [
            'spec.binaryVersion: Invalid value: "1.36": must be a valid semantic version',
            'spec.binaryVersion: Invalid value: "1.36": must be greater than or equal to `emulationVersion`',
        ],
    ),
    "emulates no version": (
        CANDIDATE,
        {"spec": {**GOOD, "emulationVersion": "1.x"}},
        [
            'spec.emulationVersion: Invalid value: "1.x": must be a valid semantic version',
            f"spec.emulationVersion: Required value: must be specified when `strategy` is '{OLDEST}'",
        ],
    ),
    "emulates the first version": (
        CANDIDATE,
        {"spec": {**GOOD, "emulationVersion": "0.0.0"}},
        [f"spec.emulationVersion: Required value: must be specified when `strategy` is '{OLDEST}'"],
    ),
    "emulates nothing": (
        CANDIDATE,
        {"spec": {**GOOD, "emulationVersion": ""}},
        [f"spec.emulationVersion: Required value: must be specified when `strategy` is '{OLDEST}'"],
    ),
    "the system's own": (PRIORITY, priority("system-node-critical", 2000001000), []),
    "not the system's": (
        PRIORITY,
        priority("system-mine", 1),
        [f"{RESERVED}system-mine is not a known system priority class"],
    ),
    "other value": (
        PRIORITY,
        priority("system-node-critical", 7),
        [f"{RESERVED}value of system-node-critical PriorityClass must be 2000001000"],
    ),
    "default": (
        PRIORITY,
        priority("system-cluster-critical", 2000000000, globalDefault=True),
        [f"{RESERVED}globalDefault of system-cluster-critical PriorityClass must be false"],
    ),
    "empty policy": (PRIORITY, priority("a", 1, preemptionPolicy=""), ["preemptionPolicy: Required value"]),
    "unknown policy": (
        PRIORITY,
        priority("a", 1, preemptionPolicy="X"),
        [
            'preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerPriority", "Never"',
        ],
    ),
    "overhead": (RUNTIME, {"handler": "runc", "overhead": {"podFixed": {"cpu": "250m"}}}, []),
    "negative overhead": (
        RUNTIME,
        {"handler": "runc", "overhead": {"podFixed": {"cpu": "-1"}}},
        ['overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
}


@pytest.mark.parametrize(("kind", "obj", "expected"), CASES.values(), ids=CASES)
def test_create(kind: GVK, obj: dict[str, Any], expected: list[str]) -> None:
    assert [str(fault) for fault in strategy_for(kind).validate(obj)] == expected


def test_a_candidate_stays_with_its_lease() -> None:
    found = strategy_for(CANDIDATE).validate_update({"spec": {**GOOD, "leaseName": "m"}}, {"spec": GOOD})
    assert [str(fault) for fault in found] == ['spec.leaseName: Invalid value: "m": field is immutable']


def test_a_runtime_class_is_looked_at_whole_again() -> None:
    strategy = strategy_for(RUNTIME)
    changed = {"handler": "crun", "overhead": {"podFixed": {"cpu": "-1"}}}
    assert [str(fault) for fault in strategy.validate_update(changed, {"handler": "runc"})] == [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'handler: Invalid value: "crun": field is immutable',
    ]
    assert strategy.allow_create_on_update
