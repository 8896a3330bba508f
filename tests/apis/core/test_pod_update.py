"""What replacing a pod may change, each refusal with the API's path and text."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import POD, make

from tiphys.apis.core.pod_update import validate_ephemeral_update, validate_resize


def change(spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return make(
        {"activeDeadlineSeconds": 10, "tolerations": [{"key": "a", "operator": "Exists"}], **(spec or {})},
        **container,
    )


UPDATES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (change(), ""),
    "image": (change(image="nginx", imagePullPolicy="Always"), ""),
    "deadline shorter": (change({"activeDeadlineSeconds": 5}), ""),
    "deadline longer": (
        change({"activeDeadlineSeconds": 50}),
        "spec.activeDeadlineSeconds: Invalid value: 50: must be less than or equal to previous value",
    ),
    "toleration added": (
        change({"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}),
        "",
    ),
    "toleration removed": (
        change({"tolerations": []}),
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ),
    "command": (
        change(command=["x"]),
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,",
    ),
    "node": (change({"nodeName": "n2"}), "spec: Forbidden: pod updates may not change fields other than "),
    "container added": (
        change({"containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "i"}]}),
        "spec.containers: Forbidden: pod updates may not add or remove containers",
    ),
    "gate added": (
        change({"schedulingGates": [{"name": "a.b/c"}]}),
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate "
        "'a.b/c'",
    ),
}


@pytest.mark.parametrize(("new", "text"), UPDATES.values(), ids=UPDATES)
def test_update(new: dict[str, Any], text: str) -> None:
    found = [str(fault) for fault in POD.validate_update(new, change())]
    if text:
        assert len(found) == 1
        assert found[0].startswith(text)
    else:
        assert found == []


def test_update_tells_what_differs() -> None:
    found = POD.validate_update(change({"nodeName": "n2"}), change())
    assert str(found[0]).endswith(
        '\n  "ServiceAccountName": "",\n  "AutomountServiceAccountToken": null,\n- "NodeName": "",\n'
        '+ "NodeName": "n2",\n  "SecurityContext": {\n   "HostNetwork": false,\n   "HostPID": false,\n'
    )


def test_gates_may_go_away() -> None:
    old = make({"schedulingGates": [{"name": "a.b/c"}]})
    new = make({"nodeSelector": {"zone": "a"}})
    assert POD.validate_update(new, old) == []


def test_finished_containers_stay_finished() -> None:
    def pod(state: dict[str, Any]) -> dict[str, Any]:
        return {
            "spec": {"restartPolicy": "Never"},
            "status": {"containerStatuses": [{"name": "c", "state": state}]},
        }

    found = POD.validate_status_update(pod({"running": {}}), pod({"terminated": {"exitCode": 1}}))
    assert [str(fault) for fault in found] == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]
    assert POD.validate_status_update(pod({"terminated": {"exitCode": 1}}), pod({"running": {}})) == []


def test_ephemeral_containers_are_only_added() -> None:
    old = make({"ephemeralContainers": [{"name": "e", "image": "i"}]})
    new = make({"ephemeralContainers": [{"name": "e", "image": "i"}, {"name": "f", "image": "i"}]})
    assert validate_ephemeral_update(new, old) == []
    changed = make({"ephemeralContainers": [{"name": "e", "image": "other"}]})
    assert [str(f) for f in validate_ephemeral_update(changed, old)] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed\n'
        '@@ -1,6 +1,6 @@\n {\n  "Name": "e",\n- "Image": "i",\n+ "Image": "other",\n  "Command": null,\n'
        '  "Args": null,\n  "WorkingDir": "",\n'
    ]
    assert len(validate_ephemeral_update(make(), old)) == 1
    lost = make(
        {
            "ephemeralContainers": [
                *new["spec"]["ephemeralContainers"],
                {"name": "g", "image": "i", "targetContainerName": "x"},
            ]
        }
    )
    assert [str(f) for f in validate_ephemeral_update(lost, old)] == [
        'spec.ephemeralContainers[2].targetContainerName: Not found: "x"'
    ]


def test_resize_changes_cpu_and_memory_only() -> None:
    old = make(resources={"requests": {"cpu": "1"}})
    assert validate_resize(make(resources={"requests": {"cpu": "2", "memory": "1Gi"}}), old) == []
    found = validate_resize(make(resources={"requests": {"cpu": "2"}}, image="x:1"), old)
    assert [str(fault) for fault in found] == ["spec: Forbidden: only cpu and memory resources are mutable"]
