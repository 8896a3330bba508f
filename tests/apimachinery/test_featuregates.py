"""Feature gates: what a line sets, what is refused and with which words, what follows from it."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.compatibility import Effective
from tiphys.apimachinery.feature_list import DEPENDENCIES, EARLIER, STAGES
from tiphys.apimachinery.featuregates import DEFAULTS, KNOWN, FeatureGateError, FeatureGates, parse, resolve


def test_the_list_is_sound() -> None:
    names = [name for *_, group in STAGES for name in group.split()]
    assert len(names) == len(set(names))
    needed = {one for text in DEPENDENCIES.values() for one in text.split()}
    assert needed | set(DEPENDENCIES) <= set(KNOWN)
    assert all(gate.stage != "ALPHA" or not gate.default for gate in KNOWN.values())
    assert list(KNOWN) == sorted(KNOWN)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HPAScaleToZero", False),
        ("ControllerManagerReleaseLeaderElectionLockOnExit", False),
        ("LoggingAlphaOptions", False),
        ("CustomCPUCFSQuotaPeriod", True),
        ("WatchList", True),
        ("SELinuxMount", False),
        ("SidecarContainers", True),
        ("KMSv1", False),
        ("StorageNamespaceIndex", True),
        ("CRDObservedGenerationTracking", True),
        ("DisableCPUQuotaWithExclusiveCPUs", True),
    ],
)
def test_defaults(name: str, *, expected: bool) -> None:
    assert DEFAULTS.enabled(name) is expected


def test_a_feature_that_does_not_exist_cannot_be_asked_about() -> None:
    with pytest.raises(KeyError):
        DEFAULTS.enabled("Nothing")


LINES = [
    ("", {}),
    ("WatchList=false", {"WatchList": False}),
    ("kube:WatchList=F, HPAScaleToZero=1", {"WatchList": False, "HPAScaleToZero": True}),
    ("WatchList=true,WatchList=false", {"WatchList": False}),
]


@pytest.mark.parametrize(("text", "asked"), LINES)
def test_lines(text: str, asked: dict[str, bool]) -> None:
    assert parse(text) == asked


REFUSED = [
    ("Nothing=true", "unrecognized feature gate: Nothing"),
    ("CSIMigrationPortworx=true", "unrecognized feature gate: CSIMigrationPortworx"),
    ("WatchList", "missing bool value for WatchList"),
    (
        "WatchList=maybe",
        'invalid value of WatchList=maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax',
    ),
    ("my:WatchList=true", "component not registered: my"),
    (
        "SidecarContainers=false",
        "cannot set feature gate SidecarContainers to false, feature is locked to true",
    ),
    (
        "SidecarContainers=false,WinDSR=false",
        "[cannot set feature gate SidecarContainers to false, feature is locked to true, "
        "cannot set feature gate WinDSR to false, feature is locked to true]",
    ),
    (
        "NodeLogQuery=false",
        "cannot set feature gate NodeLogQuery to false, feature is locked to true",
    ),
    (
        "GangScheduling=true",
        "GangScheduling is enabled, but depends on features that are disabled: [GenericWorkload]",
    ),
    (
        "APIServerIdentity=false",
        "UnknownVersionInteroperabilityProxy is enabled, but depends on features that are disabled: "
        "[APIServerIdentity]",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(FeatureGateError) as found:
        resolve(parse(text))
    assert str(found.value) == message


WHOLE_STAGES = [
    ("AllAlpha=true", "HPAScaleToZero", True),
    ("AllAlpha=true,HPAScaleToZero=false", "HPAScaleToZero", False),
    ("AllAlpha=true", "SELinuxMount", False),
    ("AllBeta=true", "SELinuxMount", True),
    ("AllBeta=false", "WatchList", False),
    ("AllBeta=false", "SidecarContainers", True),
]


@pytest.mark.parametrize(("text", "name", "expected"), WHOLE_STAGES)
def test_whole_stages(text: str, name: str, *, expected: bool) -> None:
    assert FeatureGates(parse(text)).enabled(name) is expected


def test_gates_on_their_way_out_are_told() -> None:
    gates = resolve(parse("SidecarContainers=true,KMSv1=true,WatchList=false"))
    assert gates.warnings() == [
        "Setting GA feature gate SidecarContainers=true. It will be removed in a future release.",
        "Setting deprecated feature gate KMSv1=true. It will be removed in a future release.",
    ]


AT: list[tuple[str, tuple[int, int], str, bool]] = [
    ("WatchList", (1, 33), "BETA", False),
    ("WatchList", (1, 34), "BETA", True),
    ("MutatingAdmissionPolicy", (1, 33), "ALPHA", False),
    ("MutatingAdmissionPolicy", (1, 35), "BETA", False),
    ("MutatingAdmissionPolicy", (1, 36), "", True),
    ("ComponentFlagz", (1, 35), "ALPHA", False),
    ("SizeBasedListCostEstimate", (1, 33), "PRE-ALPHA", False),
    ("APIResponseCompression", (1, 33), "BETA", True),
    ("CRDObservedGenerationTracking", (1, 35), "BETA", False),
]


@pytest.mark.parametrize(("name", "version", "stage", "on"), AT)
def test_gates_are_as_the_emulated_version_had_them(
    name: str, version: tuple[int, int], stage: str, *, on: bool
) -> None:
    gates = resolve({}, Effective(version, version))
    assert (gates.known[name].stage, gates.enabled(name)) == (stage, on)


def test_history_ends_with_what_is_now() -> None:
    for name, history in EARLIER.items():
        gate = KNOWN[name]
        assert history[-1][1:] == (gate.stage, gate.default), name
        assert [since for since, *_ in history] == sorted({since for since, *_ in history})


@pytest.mark.parametrize(("minor", "locked"), [(33, False), (34, True)])
def test_a_gate_is_locked_since_it_is_in_its_last_stage(minor: int, locked: bool) -> None:
    version = (1, minor)
    gates = resolve({}, Effective(version, version))
    assert gates.known["AnonymousAuthConfigurableEndpoints"].locked is locked


def test_a_feature_that_did_not_exist_yet_cannot_be_set() -> None:
    old = Effective((1, 33), (1, 33))
    with pytest.raises(FeatureGateError) as caught:
        resolve({"SizeBasedListCostEstimate": True}, old)
    assert str(caught.value) == (
        "cannot set feature gate SizeBasedListCostEstimate to true, "
        "feature is PreAlpha at emulated version 1.33"
    )
    assert not resolve({"SizeBasedListCostEstimate": False}, old).enabled("SizeBasedListCostEstimate")
    assert resolve({"AllAlpha": True}, old).enabled("MutatingAdmissionPolicy")
