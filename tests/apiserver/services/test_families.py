"""IP families of Services on clusters with one family and with two."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.services.families import keeps_preferred, settle_families

Spec = dict[str, Any]
ONE, TWO = ["IPv4"], ["IPv4", "IPv6"]
BOTH = ["10.0.0.1", "fd00::1"]


def ask(**spec: Any) -> Spec:
    if spec.get("clusterIPs"):
        spec.setdefault("clusterIP", spec["clusterIPs"][0])
    return {"type": "ClusterIP", "selector": {"a": "b"}, **spec}


SETTLED: dict[str, tuple[Spec, list[str], str, list[str]]] = {
    "nothing said": (ask(), TWO, "SingleStack", ["IPv4"]),
    "default is the first range's": (ask(), ["IPv6", "IPv4"], "SingleStack", ["IPv6"]),
    "preferred": (ask(ipFamilyPolicy="PreferDualStack"), TWO, "PreferDualStack", TWO),
    "preferred on one": (ask(ipFamilyPolicy="PreferDualStack"), ONE, "PreferDualStack", ONE),
    "required, other family first": (
        ask(ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv6"]),
        TWO,
        "RequireDualStack",
        ["IPv6", "IPv4"],
    ),
    "told by the address": (ask(clusterIPs=["fd00::1"]), TWO, "SingleStack", ["IPv6"]),
    "headless": (ask(clusterIPs=["None"]), TWO, "SingleStack", ["IPv4"]),
    "headless without selector": (
        ask(clusterIPs=["None"], selector={}),
        ONE,
        "RequireDualStack",
        TWO,
    ),
    "headless without selector, single": (
        ask(clusterIPs=["None"], selector={}, ipFamilyPolicy="SingleStack"),
        ONE,
        "SingleStack",
        ONE,
    ),
}


@pytest.mark.parametrize(("spec", "served", "policy", "families"), SETTLED.values(), ids=SETTLED)
def test_settled(spec: Spec, served: list[str], policy: str, families: list[str]) -> None:
    spec = dict(spec)
    assert settle_families(spec, None, served) == []
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == (policy, families)


DUAL = ask(ipFamilyPolicy="RequireDualStack", ipFamilies=TWO, clusterIPs=BOTH)
REFUSED: dict[str, tuple[Spec, Spec | None, list[str], list[str]]] = {
    "dual on a single cluster": (
        ask(ipFamilyPolicy="RequireDualStack"),
        None,
        ONE,
        [
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for '
            "dual-stack services"
        ],
    ),
    "family that is not there": (
        ask(ipFamilies=["IPv6"]),
        None,
        ONE,
        ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
    ),
    "address of such a family": (
        ask(clusterIPs=["fd00::1"]),
        None,
        ONE,
        ['spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster'],
    ),
    "two of all on single stack": (
        ask(clusterIPs=BOTH, ipFamilies=TWO),
        None,
        TWO,
        [
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
            "'PreferDualStack' when multiple cluster IPs are specified",
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
            "'PreferDualStack' when multiple IP families are specified",
        ],
    ),
    "second address taken off without saying so": (
        ask(clusterIPs=BOTH[:1], ipFamilies=["IPv4"]),
        DUAL,
        TWO,
        [
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the "
            "secondary cluster IP",
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the "
            "secondary IP family",
        ],
    ),
    "nonsense": (
        ask(clusterIPs=["x"]),
        None,
        TWO,
        [
            'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)"
        ],
    ),
}


@pytest.mark.parametrize(("new", "old", "served", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused(new: Spec, old: Spec | None, served: list[str], expected: list[str]) -> None:
    assert [str(fault) for fault in settle_families(dict(new), old, served)] == expected


def test_single_stack_drops_what_was_not_touched() -> None:
    new = {**DUAL, "ipFamilyPolicy": "SingleStack"}
    assert settle_families(new, DUAL, TWO) == []
    assert (new["clusterIPs"], new["ipFamilies"]) == (BOTH[:1], ["IPv4"])


def test_a_policy_left_out_stays() -> None:
    new = {key: value for key, value in DUAL.items() if key != "ipFamilyPolicy"}
    assert settle_families(new, DUAL, TWO) == []
    assert new["ipFamilyPolicy"] == "RequireDualStack"


def test_a_preferred_pair_does_not_grow_with_the_cluster() -> None:
    old = ask(ipFamilyPolicy="PreferDualStack", ipFamilies=ONE, clusterIPs=["10.0.0.1"])
    new = dict(old)
    assert keeps_preferred(new, old)
    assert settle_families(new, old, TWO) == []
    assert new["ipFamilies"] == ONE
    assert not keeps_preferred({**new, "ipFamilies": TWO}, old)
    assert not keeps_preferred({**new, "type": "NodePort"}, old)


def test_external_names_have_no_families() -> None:
    spec = {"type": "ExternalName"}
    assert settle_families(spec, None, TWO) == []
    assert spec == {"type": "ExternalName"}
