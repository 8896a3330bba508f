"""What tables tell beside their cells: types and names of columns, which row is over, the order of rows."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import table_for

_FLOW = "flowcontrol.apiserver.k8s.io"


TYPES: dict[str, tuple[str, str, str, tuple[str, str, int]]] = {
    "a deployment's counts are texts": ("apps", "Deployment", "Up-to-date", ("string", "", 0)),
    "a replica set's are numbers": ("apps", "ReplicaSet", "Current", ("integer", "", 0)),
    "a cron job's suspend": ("batch", "CronJob", "Suspend", ("boolean", "", 0)),
    "a cron job's active jobs": ("batch", "CronJob", "Active", ("integer", "", 0)),
    "keys of a secret": ("", "Secret", "Data", ("string", "", 0)),
    "how often an event happened": ("", "Event", "Count", ("string", "", 1)),
    "an event's name": ("", "Event", "Name", ("string", "name", 1)),
    "replicas of an autoscaler": ("autoscaling", "HorizontalPodAutoscaler", "Replicas", ("string", "", 0)),
    "a revision's number": ("apps", "ControllerRevision", "Revision", ("string", "", 0)),
    "who attaches": ("storage.k8s.io", "VolumeAttachment", "Attacher", ("string", "name", 0)),
    "a schema's precedence": (_FLOW, "FlowSchema", "MatchingPrecedence", ("string", "", 0)),
    "when a role was made": ("rbac.authorization.k8s.io", "Role", "Created At", ("date", "", 0)),
    "a pod's restarts": ("", "Pod", "Restarts", ("string", "", 0)),
    "a pod's gates": ("", "Pod", "Readiness Gates", ("string", "", 1)),
    "who is bound": ("rbac.authorization.k8s.io", "ClusterRoleBinding", "Groups", ("string", "", 1)),
}


@pytest.mark.parametrize(("group", "kind", "name", "wanted"), TYPES.values(), ids=TYPES)
def test_types_of_columns(group: str, kind: str, name: str, wanted: tuple[str, str, int]) -> None:
    columns = {column["name"]: column for column in table_for(GVK(group, "v1", kind)).columns}
    column = columns[name]
    assert (column["type"], column["format"], column["priority"]) == wanted


def test_names_of_columns_that_once_differed() -> None:
    names = [
        column["name"] for column in table_for(GVK("coordination.k8s.io", "v1", "LeaseCandidate")).columns
    ]
    assert names == ["Name", "LeaseName", "BinaryVersion", "EmulationVersion", "Age"]


PHASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "running": ("Running", []),
    "succeeded": (
        "Succeeded",
        [
            {
                "type": "Completed",
                "status": "True",
                "reason": "Succeeded",
                "message": "The pod has completed successfully.",
            }
        ],
    ),
    "failed": (
        "Failed",
        [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}],
    ),
}


@pytest.mark.parametrize(("phase", "conditions"), PHASES.values(), ids=PHASES)
def test_rows_of_pods_that_are_over(phase: str, conditions: list[dict[str, Any]]) -> None:
    printer = table_for(GVK("", "v1", "Pod"))
    assert printer.conditions is not None
    assert printer.conditions({"status": {"phase": phase}}) == conditions


def test_schemas_are_listed_as_they_are_tried() -> None:
    order = table_for(GVK(_FLOW, "v1", "FlowSchema")).order
    assert order is not None
    found = sorted(
        [
            {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}
            for name, precedence in (("a", 10000), ("z", 1), ("b", 800), ("c", 800))
        ],
        key=order,
    )
    assert [schema["metadata"]["name"] for schema in found] == ["z", "b", "c", "a"]
