"""Faults of nodes, namespaces, quotas, limits, endpoints and events."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.core.node_validation import validate_namespace_finalize
from tiphys.apis.strategies import strategy_for

Object = dict[str, Any]
BAD_SIZE = "must be greater than zero"
UNSUPPORTED = "unsupported scope applied to resource"


def faults(kind: str, obj: Object, group: str = "") -> list[str]:
    return [str(fault) for fault in strategy_for(GVK(group, "v1", kind)).validate(obj)]


def changed(kind: str, new: Object, old: Object, group: str = "") -> list[str]:
    return [str(fault) for fault in strategy_for(GVK(group, "v1", kind)).validate_update(new, old)]


def status_faults(kind: str, new: Object, old: Object) -> list[str]:
    return [str(fault) for fault in strategy_for(GVK("", "v1", kind)).validate_status_update(new, old)]


def node(**spec: Any) -> Object:
    return {"spec": spec}


TAINT = {"key": "a", "effect": "NoSchedule"}
FEATURE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., "
    "MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)
LONG = "X" * 254
NODES: dict[str, tuple[Object, list[str]]] = {
    "ranges": (
        node(podCIDRs=["10.0.0.0/24", "10.0.0.0/24"]),
        [
            'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: may specify no more than one CIDR '
            "for each IP family",
        ],
    ),
    "swap of nothing": (
        {**node(), "status": {"nodeInfo": {"swap": {"capacity": 0}}}},
        ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"],
    ),
    "features": ({**node(), "status": {"declaredFeatures": ["A", "A/b", "B9"]}}, []),
    "features that are none": (
        {**node(), "status": {"declaredFeatures": ["B", "A/", "A/", LONG]}},
        [
            'status.declaredFeatures[1]: Invalid value: "A/": list must be sorted alphabetically',
            f'status.declaredFeatures[1]: Invalid value: "A/": invalid feature name "A/": {FEATURE}',
            'status.declaredFeatures[2]: Duplicate value: "A/"',
            f'status.declaredFeatures[2]: Invalid value: "A/": invalid feature name "A/": {FEATURE}',
            f'status.declaredFeatures[3]: Invalid value: "{LONG}": invalid feature name "{LONG}": '
            "must be no more than 253 characters",
        ],
    ),
    "two families": (node(podCIDRs=["10.0.0.0/24", "fd00::/64"]), []),
    "taint twice": (
        node(taints=[TAINT, TAINT]),
        [
            'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":'
            "null}: taints must be unique by key and effect pair"
        ],
    ),
    "capacity": (
        {"status": {"capacity": {"pods": "1.5"}, "allocatable": {"cpu": "-1"}}},
        [
            'status.capacity.pods: Invalid value: "1.5": must be an integer',
            'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NODES.values(), ids=NODES)
def test_nodes(obj: Object, expected: list[str]) -> None:
    assert faults("Node", obj) == expected


def test_a_node_whose_ranges_come_late() -> None:
    ranges = ["10.0.0.0/24", "10.0.1.0/24"]
    text = "may specify no more than one CIDR for each IP family"
    expected = f'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: {text}'
    assert changed("Node", node(podCIDRs=ranges), node()) == [expected]
    assert status_faults("Node", node(podCIDRs=ranges), node(podCIDRs=ranges)) == []


def test_changed_nodes() -> None:
    old = {"spec": {"podCIDRs": ["10.0.0.0/24", "::/64"], "providerID": "a"}}
    address = {"type": "InternalIP", "address": "1.2.3.4"}
    moved = {"podCIDRs": ["10.0.1.0/24", "1::/64"], "providerID": "b"}
    assert changed("Node", {"spec": moved, "status": {"addresses": [address] * 2}}, old) == [
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}',
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ]


def test_namespaces() -> None:
    text = "name is neither a standard finalizer name nor is it fully qualified"
    wrong = {"spec": {"finalizers": ["kubernetes", "mine"]}}
    assert faults("Namespace", wrong) == [f'spec.finalizers: Invalid value: "mine": {text}']
    assert [str(fault) for fault in validate_namespace_finalize(wrong, wrong)] == [
        f'spec.finalizers[1]: Invalid value: "mine": {text}'
    ]
    going = {"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Active"}}
    assert status_faults("Namespace", going, going) == [
        "status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not "
        "empty"
    ]


def quota(hard: dict[str, str], *scopes: str, **selector: Any) -> Object:
    spec: Object = {"hard": hard}
    if scopes:
        spec["scopes"] = list(scopes)
    if selector:
        spec["scopeSelector"] = {"matchExpressions": [selector]}
    return {"spec": spec}


AT = "spec.scopeSelector.matchExpressions"
QUOTAS: dict[str, tuple[Object, list[str]]] = {
    "names": (
        quota({"pods": "1", "count/x.y": "1", "requests.nvidia.com/gpu": "1", "foo": "1"}),
        [
            'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
            'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
        ],
    ),
    "a scope of what has none": (
        quota({"cpu": "1"}, scopeName="BestEffort", operator="Exists"),
        [
            f'{AT}: Invalid value: {{"MatchExpressions":[{{"ScopeName":"BestEffort","Operator":"Exists",'
            f'"Values":null}}]}}: {UNSUPPORTED}'
        ],
    ),
    "counts are whole": (
        quota({"services.nodeports": "1.5"}),
        ['spec.hard[services.nodeports]: Invalid value: "1.5": must be an integer'],
    ),
    "scopes": (
        quota({"pods": "1", "cpu": "1"}, "BestEffort", "NotBestEffort"),
        [
            f'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: {UNSUPPORTED}',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ],
    ),
    "scope unknown": (quota({}, "X"), ['spec.scopes: Invalid value: ["X"]: unsupported scope']),
    "selector": (quota({"pods": "1"}, scopeName="PriorityClass", operator="In", values=["a"]), []),
    "selector without values": (
        quota({"pods": "1"}, scopeName="PriorityClass", operator="In"),
        [
            f"{AT}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for "
            "scope selector"
        ],
    ),
    "selector operator": (
        quota({"pods": "1"}, scopeName="PriorityClass", operator="X"),
        [f'{AT}.operator: Invalid value: "X": not a valid selector operator'],
    ),
    "selector that can only exist": (
        quota({"pods": "1"}, scopeName="Terminating", operator="DoesNotExist"),
        [
            f"{AT}.operator: Invalid value: \"DoesNotExist\": must be 'Exists' when scope is any of "
            "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
            "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_quotas(obj: Object, expected: list[str]) -> None:
    assert faults("ResourceQuota", obj) == expected


def test_changed_quotas() -> None:
    found = changed("ResourceQuota", quota({"pods": "1"}), quota({"pods": "1"}, "Terminating"))
    assert found == ["spec.scopes: Invalid value: null: field is immutable"]
    new = {"status": {"hard": {"pods": "-1"}, "used": {"foo/": "1"}}}
    assert status_faults("ResourceQuota", new, new)[0] == (
        'status.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'
    )


def limits(kind: str = "Container", **item: Any) -> Object:
    return {"spec": {"limits": [{"type": kind, **item}]}}


L = "spec.limits[0]"
LIMITS: dict[str, tuple[Object, list[str]]] = {
    "type": (
        limits("X"),
        [f'{L}.type: Invalid value: "X": must be a standard limit type or fully qualified'],
    ),
    "name": (
        limits(max={"storage": "1"}),
        [f'{L}.max[storage]: Invalid value: "storage": must be a standard resource for containers'],
    ),
    "pods have no defaults": (
        limits("Pod", default={"cpu": "1"}),
        [f"{L}.default: Forbidden: may not be specified when `type` is 'Pod'"],
    ),
    "claims have bounds": (
        limits("PersistentVolumeClaim", default={"storage": "1"}),
        [
            f"{L}.limits: Required value: either minimum or maximum storage value is required, but neither "
            "was provided"
        ],
    ),
    "request above default": (
        limits(default={"cpu": "1"}, defaultRequest={"cpu": "2"}),
        [
            f'{L}.defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default '
            "limit value 1"
        ],
    ),
    "default above maximum": (
        limits(default={"cpu": "2"}, max={"cpu": "1"}),
        [f'{L}.default[cpu]: Invalid value: "1": default value 2 is greater than max value 1'],
    ),
    "ratio": (
        limits(max={"cpu": "2"}, min={"cpu": "1"}, maxLimitRequestRatio={"cpu": "3", "memory": "500m"}),
        [
            f'{L}.maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000',
            f'{L}.maxLimitRequestRatio[memory]: Invalid value: "500m": ratio 500m is less than 1',
        ],
    ),
    "what cannot be overcommitted": (
        limits(default={"example.com/gpu": "2"}, defaultRequest={"example.com/gpu": "1"}),
        [
            f'{L}.defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to '
            "defaultRequest value 1 in example.com/gpu"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), LIMITS.values(), ids=LIMITS)
def test_limit_ranges(obj: Object, expected: list[str]) -> None:
    assert faults("LimitRange", obj) == expected


def test_endpoints() -> None:
    address = {"ip": "127.0.0.1", "hostname": "A", "nodeName": "n"}
    ports = [{"port": 1, "protocol": "TCP"}, {"name": "a", "port": 2, "protocol": "TCP", "appProtocol": "-"}]
    found = faults("Endpoints", {"subsets": [{"addresses": [address], "ports": ports}, {}]})
    assert [text.partition(": ")[0] for text in found] == [
        "subsets[0].addresses[0].hostname",
        "subsets[0].addresses[0].ip",
        "subsets[0].ports[0].name",
        "subsets[0].ports[1].appProtocol",
        "subsets[1]",
    ]


def event(**fields: Any) -> Object:
    given = {
        "metadata": {"namespace": "ns"},
        "involvedObject": {"namespace": "ns"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingComponent": "example.com/c",
        "reportingInstance": "i",
        "action": "a",
        "reason": "r",
        "type": "Normal",
        **fields,
    }
    return {key: value for key, value in given.items() if value is not None}


OLD_EVENT = {"metadata": {"namespace": "ns"}, "involvedObject": {"namespace": "ns"}, "count": 2}
EVENTS: dict[str, tuple[str, Object, list[str]]] = {
    "new": ("events.k8s.io", event(), []),
    "old": ("", OLD_EVENT, []),
    "old, of elsewhere": (
        "",
        {**OLD_EVENT, "involvedObject": {"namespace": "x"}},
        ['involvedObject.namespace: Invalid value: "x": does not match event.namespace'],
    ),
    "new through the core group": (
        "",
        event(reportingInstance=None, action="x" * 129),
        [
            "reportingInstance: Required value",
            'action: Invalid value: "": can have at most 128 characters',
        ],
    ),
    "old through the new group": (
        "events.k8s.io",
        OLD_EVENT,
        [
            "eventTime: Required value",
            'type: Invalid value: "": has invalid value: ',
            'count: Invalid value: "": needs to be unset',
        ],
    ),
    "series": (
        "events.k8s.io",
        event(series={"count": 1}, source={"component": "x"}, message="x" * 1025),
        [
            'message: Invalid value: "": can have at most 1024 characters',
            'series.count: Invalid value: "": should be at least 2',
            "series.lastObservedTime: Required value",
            'source: Invalid value: "": needs to be unset',
        ],
    ),
}


@pytest.mark.parametrize(("group", "obj", "expected"), EVENTS.values(), ids=EVENTS)
def test_events(group: str, obj: Object, expected: list[str]) -> None:
    assert faults("Event", obj, group) == expected


def test_only_the_series_of_a_new_event_goes_on() -> None:
    series = {"count": 2, "lastObservedTime": "x"}
    assert changed("Event", event(series=series), event(), "events.k8s.io") == []
    assert (
        changed("Event", event(reason="x"), event(), "events.k8s.io")
        == ['reason: Invalid value: "x": field is immutable'] * 2
    )  # as upstream does, it is asked twice
    assert changed("Event", event(reason="x"), event()) == []
