"""Following updates, on built-in kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.managedfields import fieldset, update
from tiphys.apimachinery.managedfields.fieldset import EMPTY
from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.schemas import schema_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TIME = "2026-01-02T03:04:05Z"
POD = schema_for(GVK("", "v1", "Pod"))
DEPLOYMENT = schema_for(GVK("apps", "v1", "Deployment"))
SERVICE = schema_for(GVK("", "v1", "Service"))


def write(live: Any, new: Any, schema: Any, who: str = "her", **options: Any) -> Any:
    version = new["apiVersion"]
    now = options.pop("now", NOW)
    return update(live, copy_object(new), schema, manager=who, api_version=version, now=now, **options)


def fields(obj: Any) -> dict[str, Any]:
    found = obj["metadata"].get("managedFields", [])
    return {f"{e['manager']}/{e.get('subresource', '')}".rstrip("/"): e["fieldsV1"] for e in found}


def pod(**spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i", "resources": {}}], "restartPolicy": "Always", **spec}
    metadata = {"name": "p", "namespace": "d", "uid": "u", "labels": {"app": "x"}, "creationTimestamp": TIME}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def test_create_of_a_pod() -> None:
    made = write(None, pod(nodeSelector={"a": "b"}, tolerations=[{"key": "k"}]), POD)
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "her",
            "operation": "Update",
            "apiVersion": "v1",
            "time": TIME,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}
                    },
                    "f:nodeSelector": {},
                    "f:restartPolicy": {},
                    "f:tolerations": {},
                },
            },
        }
    ]


def test_create_of_a_deployment_marks_only_what_can_be_absent() -> None:
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}},
        },
    }
    assert fields(write(None, obj, DEPLOYMENT))["her"] == {
        "f:spec": {
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}}}},
            },
        }
    }


_NO_EVENT = dict.fromkeys(("eventTime", "firstTimestamp", "lastTimestamp")) | {"source": {}}
CREATED: dict[str, tuple[GVK, dict[str, Any], dict[str, Any]]] = {
    "an event that says nothing": (
        GVK("", "v1", "Event"),
        {**_NO_EVENT, "involvedObject": {}, "reportingComponent": "", "reportingInstance": ""},
        {},
    ),
    "an event": (
        GVK("", "v1", "Event"),
        {**_NO_EVENT, "involvedObject": {"name": "p"}, "reportingComponent": "x", "eventTime": TIME},
        {"f:eventTime": {}, "f:involvedObject": {}, "f:reportingComponent": {}},
    ),
    "no rules": (GVK("rbac.authorization.k8s.io", "v1", "Role"), {"rules": None}, {}),
    "rules": (GVK("rbac.authorization.k8s.io", "v1", "Role"), {"rules": [{}]}, {"f:rules": {}}),
    "a priority of zero": (GVK("scheduling.k8s.io", "v1", "PriorityClass"), {"value": 0}, {}),
    "a priority": (GVK("scheduling.k8s.io", "v1", "PriorityClass"), {"value": 1}, {"f:value": {}}),
    "no endpoints": (
        GVK("discovery.k8s.io", "v1", "EndpointSlice"),
        {"addressType": "IPv4", "endpoints": None, "ports": None},
        {"f:addressType": {}},
    ),
    "a policy for all pods": (
        GVK("networking.k8s.io", "v1", "NetworkPolicy"),
        {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
        {"f:spec": {"f:policyTypes": {}}},
    ),
    "drivers": (
        GVK("storage.k8s.io", "v1", "CSINode"),
        {"spec": {"drivers": [{"name": "d", "topologyKeys": None}]}},
        {"f:spec": {"f:drivers": {'k:{"name":"d"}': {".": {}, "f:name": {}, "f:topologyKeys": {}}}}},
    ),
    "a gang": (
        GVK("scheduling.k8s.io", "v1alpha2", "PodGroup"),
        {"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}},
        {"f:spec": {"f:schedulingPolicy": {"f:gang": {".": {}, "f:minCount": {}}}}},
    ),
    "a taint": (
        GVK("resource.k8s.io", "v1beta2", "DeviceTaintRule"),
        {"spec": {"taint": {"key": "k", "effect": "NoSchedule"}}},
        {"f:spec": {"f:taint": {"f:effect": {}, "f:key": {}}}},
    ),
}


@pytest.mark.parametrize(("gvk", "obj", "expected"), CREATED.values(), ids=CREATED)
def test_what_go_writes_of_nothing_is_nobodys(
    gvk: GVK, obj: dict[str, Any], expected: dict[str, Any]
) -> None:
    new = {"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": {"name": "x"}, **obj}
    assert fields(write(None, new, schema_for(gvk))).get("her", {}) == expected


@pytest.mark.parametrize("rules", [[{}], None], ids=["rules", "no rules"])
def test_null_comes_and_goes_unseen_where_go_writes_it(rules: Any) -> None:
    gvk = GVK("rbac.authorization.k8s.io", "v1", "Role")
    role = {"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": {"name": "x", "labels": {"a": "b"}}}
    live = write(None, role, schema_for(gvk))
    owned = fields(live)["her"]
    changed = write(live, {**live, "rules": rules}, schema_for(gvk), "him")
    assert fields(changed) == {"her": owned} | ({"him": {"f:rules": {}}} if rules else {})
    assert fields(write(changed, live, schema_for(gvk), "them")) == {"her": owned}


def test_null_is_owned_in_custom_objects() -> None:
    obj = {"apiVersion": "e.com/v1", "kind": "Foo", "metadata": {"name": "x"}, "rules": None}
    assert fields(write(None, obj, None))["her"] == {"f:rules": {}}


def test_create_of_a_service() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "finalizers": ["f"], "ownerReferences": [{"uid": "1", "name": "o"}]},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"a": "b"}},
        "status": {"loadBalancer": {}},
    }
    assert fields(write(None, obj, SERVICE))["her"] == {
        "f:metadata": {
            "f:finalizers": {".": {}, 'v:"f"': {}},
            "f:ownerReferences": {".": {}, 'k:{"uid":"1"}': {}},
        },
        "f:spec": {
            "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}},
            "f:selector": {},
        },
    }


def test_objects_of_one_shape_share_their_set() -> None:
    one, other = write(None, pod(), POD), write(None, pod(restartPolicy="Never"), POD)
    assert fields(one)["her"] is fields(other)["her"]


def test_custom_objects_without_a_schema() -> None:
    obj = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}, "spec": {"x": [1], "y": {"z": 1}}}
    assert fields(write(None, obj, None))["her"] == {
        "f:spec": {".": {}, "f:x": {}, "f:y": {".": {}, "f:z": {}}}
    }


def test_status_of_a_kind_without_the_subresource_is_owned() -> None:
    obj = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "a"}, "status": {"x": 1}}
    assert fields(write(None, obj, None)) == {}
    assert fields(write(None, obj, None, ignored=EMPTY))["her"] == {"f:status": {".": {}, "f:x": {}}}


def test_no_change_keeps_everything() -> None:
    live = write(None, pod(), POD)
    again = write(live, live, POD, "him", now=LATER)
    assert again == live
    assert again["metadata"]["managedFields"] is live["metadata"]["managedFields"]


def test_without_managed_fields_in_the_request_the_live_ones_stay() -> None:
    live = write(None, pod(), POD)
    assert write(live, pod(), POD, "him") == live


def test_changed_fields_move() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["spec"]["containers"][0]["image"] = "j"
    new["metadata"]["labels"] = {"app": "x", "tier": "y"}
    after = fields(write(live, new, POD, "him", now=LATER))
    assert after["him"] == {
        "f:metadata": {"f:labels": {"f:tier": {}}},
        "f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}},
    }
    assert "f:image" not in after["her"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert after["her"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}


def test_fields_gone_leave_everybody() -> None:
    live = write(None, pod(nodeSelector={"a": "b"}, activeDeadlineSeconds=5), POD)
    new = copy_object(live)
    del new["metadata"]["labels"], new["spec"]["activeDeadlineSeconds"]
    after = write(live, new, POD, "him", now=LATER)
    assert fields(after) == {
        "her": {
            "f:spec": {
                "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}},
                "f:nodeSelector": {},
                "f:restartPolicy": {},
            }
        }
    }
    assert after["metadata"]["managedFields"][0]["time"] == TIME


def test_status_is_its_own_entry() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["status"] = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "podIPs": [{"ip": "1"}],
    }
    after = write(live, new, POD, "kubelet", now=LATER, subresource="status")
    assert fields(after)["kubelet/status"] == {
        "f:status": {
            "f:conditions": {".": {}, 'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}},
            "f:phase": {},
            "f:podIPs": {".": {}, 'k:{"ip":"1"}': {".": {}, "f:ip": {}}},
        }
    }
    newer = copy_object(after)
    newer["status"]["conditions"][0]["status"] = "False"
    assert fields(write(after, newer, POD, "kubelet", subresource="status")) == fields(after)


def test_second_update_adds_to_the_same_entry() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["spec"]["activeDeadlineSeconds"] = 5
    after = write(live, new, POD, now=LATER)["metadata"]["managedFields"]
    assert len(after) == 1
    assert after[0]["time"] == "2026-01-02T04:04:05Z"
    assert "f:activeDeadlineSeconds" in after[0]["fieldsV1"]["f:spec"]


@pytest.mark.parametrize("asked", [[], [{}]])
def test_reset(asked: list[Any]) -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["metadata"]["managedFields"] = asked
    after = write(live, new, POD, "him")
    assert "managedFields" not in after["metadata"]
    after["spec"]["activeDeadlineSeconds"] = 9
    assert "managedFields" not in write(copy_object({**after, "spec": {}}), after, POD)["metadata"]


def test_managers_may_be_rewritten() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["metadata"]["managedFields"][0] |= {"manager": "new", "operation": "Apply"}
    assert list(fields(write(live, new, POD))) == ["new"]


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "Frob"},
        {"apiVersion": ""},
        {"fieldsType": "V2"},
        {"fieldsType": ""},
        {"fieldsV1": {"x": {}}},
    ],
    ids=lambda change: "-".join(change),
)
def test_nonsense_managers_are_passed_over(change: dict[str, Any]) -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["metadata"]["managedFields"][0] |= change
    assert fields(write(live, new, POD)) == fields(live)


@pytest.mark.parametrize(
    "change", [{"fieldsV1": {}}, {"fieldsV1": {"q:later": {}}}, {"apiVersion": "gone/v9"}]
)
def test_managers_of_nothing_go(change: dict[str, Any]) -> None:
    """Also when the write that names them changes nothing else; so do those of versions that are no more."""
    live = write(None, pod(), POD)
    new = copy_object(live)
    odd = {"manager": "odd", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
           "fieldsV1": {"f:spec": {"f:nodeName": {}}}}  # fmt: skip
    new["metadata"]["managedFields"].append(odd | change)
    assert fields(write(live, new, POD, versions=OneVersion())) == fields(live)


class OneVersion:
    """A kind that has v1 and nothing else."""

    may_change = False

    def convert(self, obj: Any, api_version: str) -> Any:
        return obj if api_version == "v1" else None

    def schema(self, api_version: str) -> Any:
        return POD


def test_a_subresource_cannot_rewrite_managers() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["metadata"]["managedFields"] = [{}]
    assert fields(write(live, new, POD, subresource="status")) == fields(live)


def test_lists_without_names_leave_the_managers_alone() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["spec"]["containers"].append({"image": "nameless"})
    assert fields(write(live, new, POD, "him")) == fields(live)


def test_doubled_items_are_one_field() -> None:
    live = write(None, pod(), POD)
    new = copy_object(live)
    new["spec"]["containers"].append({"name": "c", "image": "twice"})
    after = fields(write(live, new, POD, "him"))
    assert after["him"] == {"f:spec": {"f:containers": {'k:{"name":"c"}': {}}}}


def test_updaters_are_bounded() -> None:
    live = write(None, pod(), POD)
    for step in range(12):
        new = copy_object(live)
        new["metadata"]["labels"][f"l{step}"] = "x"
        live = write(live, new, POD, f"m{step}", now=NOW + timedelta(minutes=step + 1))
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    assert [entry["manager"] for entry in entries][:2] == ["ancient-changes", "m3"]
    assert entries[0]["time"] == "2026-01-02T03:07:05Z"
    assert {"f:l0", "f:l1", "f:l2", "f:app"} <= set(entries[0]["fieldsV1"]["f:metadata"]["f:labels"])


def test_appliers_come_first() -> None:
    live = write(None, pod(), POD)
    live["metadata"]["managedFields"].append(
        {"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": TIME, "fieldsType": "FieldsV1",
         "fieldsV1": {"f:spec": {"f:restartPolicy": {}}}}
    )  # fmt: skip
    new = copy_object(live)
    new["spec"]["activeDeadlineSeconds"] = 1
    assert list(fields(write(live, new, POD, "z"))) == ["a", "her", "z"]


PHASES, VALUES = ("Pending", "Running"), ("", "1", "2")


def a_status(phase: str, ip: str, reason: str, ready: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    found = {"phase": phase, "podIP": ip, "reason": reason, "conditions": conditions}
    return {key: value for key, value in found.items() if value}


STATUSES = st.builds(a_status, st.sampled_from(PHASES), *[st.sampled_from(VALUES)] * 3)
WRITES = st.tuples(st.sampled_from(("kubelet", "other")), st.sampled_from(("", "status")), STATUSES)


@given(st.lists(WRITES, max_size=6))
def test_changing_again_what_is_ones_own_is_what_any_change_is(
    writes: list[tuple[str, str, dict[str, Any]]],
) -> None:
    outcomes = []
    for covers in (fieldset.covers, lambda _one, _other: False):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(fieldset, "covers", covers)
            live = write(None, pod(), POD)
            for at, (who, subresource, status) in enumerate(writes):
                new = {**live, "status": status}
                if not subresource:
                    new["spec"] = {**live["spec"], "nodeName": f"n{at}"}
                live = write(live, new, POD, who, subresource=subresource, now=NOW + timedelta(seconds=at))
        outcomes.append(live)
    assert orjson.dumps(outcomes[0]) == orjson.dumps(outcomes[1])


def test_who_changes_its_own_field_again_keeps_its_set() -> None:
    live = write(None, pod(), POD)
    live = write(live, {**live, "status": {"phase": "Running"}}, POD, "kubelet", subresource="status")
    before = live["metadata"]["managedFields"]
    again = {**live, "status": {"phase": "Failed"}}
    live = write(live, again, POD, "kubelet", subresource="status", now=LATER)
    after = live["metadata"]["managedFields"]
    assert [{**entry, "time": TIME} for entry in after] == before
    assert [entry["time"] for entry in after] == [TIME, "2026-01-02T04:04:05Z"]


def test_managers_that_come_back_as_they_are_need_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    live = write(None, pod(), POD)
    live = write(live, {**live, "status": {"phase": "Running"}}, POD, "kubelet", subresource="status")
    changed = {**live, "spec": {**live["spec"], "nodeName": "n"}}
    without = copy_object(changed)
    del without["metadata"]["managedFields"]
    expected = write(live, without, POD, "other")
    checked: list[Any] = []
    monkeypatch.setattr(fieldset, "check", lambda fields: checked.append(fields) or fields)
    assert write(live, copy_object(changed), POD, "other") == expected
    assert checked == []
    changed["metadata"] = {**live["metadata"], "managedFields": live["metadata"]["managedFields"][:1]}
    assert write(live, changed, POD, "other") != expected
    assert len(checked) == 1
