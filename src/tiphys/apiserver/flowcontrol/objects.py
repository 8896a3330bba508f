"""The FlowSchemas and PriorityLevelConfigurations that every cluster has. Pure.

Owns: upstream's mandatory and suggested objects, as their ``spec``s. Refuses: writing them (``repair``).
Source: "API Priority and Fairness", default configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiphys.apimachinery.meta import Object
from tiphys.apis.flowcontrol import mandatory
from tiphys.apis.flowcontrol.mandatory import CATCH_ALL, EXEMPT

API_VERSION: Final = "flowcontrol.apiserver.k8s.io/v1"
AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"
_CONTROLLERS, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_ANYONE = ("system:unauthenticated", "system:authenticated")
_LEADER_VERBS = ("get", "create", "update")


def _level(name: str, shares: int, lendable: int, queues: tuple[int, int] | None) -> Object:
    response: Object = {"type": "Reject"}
    if queues is not None:
        sizes = {"queues": queues[0], "handSize": queues[1], "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": sizes}
    limited = {
        "nominalConcurrencyShares": shares,
        "limitResponse": response,
        "lendablePercent": lendable,
    }
    return _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def _object(kind: str, name: str, spec: Object) -> Object:
    meta = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec, "status": {}}


def priority_levels() -> list[Object]:
    """Return every PriorityLevelConfiguration, the mandatory ones first."""
    return [
        *(_object("PriorityLevelConfiguration", *one) for one in mandatory.LEVELS.items()),
        _level("system", 30, 33, (64, 6)),
        _level("node-high", 40, 25, (64, 6)),
        _level("leader-election", 10, 0, (16, 4)),
        _level("workload-high", 40, 50, (128, 6)),
        _level("workload-low", 100, 90, (128, 6)),
        _level("global-default", 20, 50, (128, 6)),
    ]


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [
        {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}
        for name in names
    ]


def _resources(
    groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str] = ("*",), *, cluster: bool = False
) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}
    if cluster:
        rule["clusterScope"] = True
    return {**rule, "namespaces": ["*"]}


def _schema(
    name: str, level: str, precedence: int, by: str, subjects: list[Object], *,
    resources: list[Object] | None = None, paths: list[Object] | None = None,
) -> Object:  # fmt: skip
    """Build a FlowSchema; with neither rule it is about everything."""
    if resources is None and paths is None:
        resources = [_resources(["*"], ["*"], cluster=True)]
        paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    rule: Object = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = resources
    if paths:
        rule["nonResourceRules"] = paths
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return _object("FlowSchema", name, {**spec, "rules": [rule]})


def flow_schemas() -> list[Object]:
    """Return every FlowSchema, in the order of their precedence."""
    leases = _resources(["coordination.k8s.io"], ["leases"], _LEADER_VERBS)
    own_leases = _resources(["coordination.k8s.io"], ["leases"])
    nodes = _resources([""], ["nodes", "nodes/status"], cluster=True)
    probes = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
    return [
        _object("FlowSchema", EXEMPT, mandatory.SCHEMAS[EXEMPT]),
        _schema("probes", EXEMPT, 2, "", _groups(*_ANYONE), paths=[probes]),
        _schema("system-leader-election", "leader-election", 100, "ByUser",
                [*_users(_CONTROLLERS, _SCHEDULER), *_accounts("*")], resources=[leases]),
        _schema("system-node-high", "node-high", 400, "ByUser", _groups("system:nodes"),
                resources=[nodes, own_leases]),
        _schema("system-nodes", "system", 500, "ByUser", _groups("system:nodes")),
        _schema("kube-controller-manager", "workload-high", 800, "ByNamespace", _users(_CONTROLLERS)),
        _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _users(_SCHEDULER)),
        _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _accounts("*")),
        _schema("service-accounts", "workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
        _schema("global-default", "global-default", 9900, "ByUser", _groups(*_ANYONE)),
        _object("FlowSchema", CATCH_ALL, mandatory.SCHEMAS[CATCH_ALL]),
    ]  # fmt: skip
