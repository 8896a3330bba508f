"""Upstream's names of controllers choose ours."""

from __future__ import annotations

import logging

import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.controllers.manager import CONTROLLERS, UnknownController, chosen
from tiphys.controllers.names import ALIASES, ELSEWHERE, GATES, OFF_BY_DEFAULT

EVERY = {str(kind.name) for kind in CONTROLLERS}  # type: ignore[attr-defined]
OWN = EVERY - set(GATES)


def names(*selection: str) -> set[str]:
    return {str(kind.name) for kind in chosen(selection)}  # type: ignore[attr-defined]


def test_every_alias_names_a_controller() -> None:
    assert set(ALIASES.values()) <= EVERY
    assert not (ELSEWHERE & EVERY)
    assert set(GATES) <= EVERY


@pytest.mark.parametrize(
    ("gate", "name"),
    [
        ("GenericWorkload", "podgroup-protection-controller"),
        ("ClusterTrustBundle", "kube-apiserver-serving-clustertrustbundle-publisher-controller"),
        ("PodCertificateRequest", "podcertificaterequest-cleaner-controller"),
    ],
)
def test_gates_bring_controllers(gate: str, name: str) -> None:
    found = {str(kind.name) for kind in chosen(("*",), resolve({gate: True}))}  # type: ignore[attr-defined]
    assert found == names("*") | {name}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (("*",), OWN - set(OFF_BY_DEFAULT)),
        (("*", "bootstrapsigner", "tokencleaner"), OWN),
        (("*", "-nodeipam", "-replicationcontroller-controller"),
         OWN - set(OFF_BY_DEFAULT) - {"node-ipam-controller", "replication-controller"}),
        (("deployment", "replicaset-controller"), {"deployment-controller", "replicaset-controller"}),
        (("endpointslice-controller",), {"endpoint-slice-controller"}),
        ((), set()),
    ],
)  # fmt: skip
def test_choice(selection: tuple[str, ...], expected: set[str]) -> None:
    assert names(*selection) == expected


@pytest.mark.parametrize("name", ["nosuch", "-nosuch"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownController, match='"nosuch" is not in the list of known controllers'):
        chosen(("*", name))


def test_upstreams_that_are_no_controllers_here_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert names("*", "selinux-warning-controller") == names("*")
    assert caplog.messages == ["controller selinux-warning-controller is none of its own here"]
