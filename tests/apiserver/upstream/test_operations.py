"""Operations of the API server, asked as upstream's integration and e2e tests of them ask.

Metrics, statuses, sizes, timeouts, flow control and audit; in process, over the whole server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions

PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
APPS = "/apis/apps/v1/namespaces"


async def metrics(api: Any) -> list[str]:
    return [line for line in (await api("GET", "/metrics")).raw.decode().splitlines() if line[0] != "#"]


# -- metrics


async def test_the_process_and_its_requests_are_measured(api: Any) -> None:
    await api.get(PODS)
    await api.get("/api/v1/namespaces/default/endpoints")
    lines = await metrics(api)
    for name in (
        "process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds",
        "process_resident_memory_bytes", "apiserver_requested_deprecated_apis", "apiserver_request_total",
        "apiserver_request_duration_seconds_sum",
    ):  # fmt: skip
        assert any(line.startswith(name) for line in lines), name


def asked(resource: str, verb: str, code: int, scope: str, subresource: str = "") -> str:
    return (
        f'apiserver_request_total{{code="{code}",component="apiserver",dry_run="",group="",'
        f'resource="{resource}",scope="{scope}",subresource="{subresource}",verb="{verb}",version="v1"}}'
    )


async def test_each_request_is_counted_under_its_labels(api: Any, make_pod: Any) -> None:
    pod = make_pod("foo")
    names = "/api/v1/namespaces"
    name = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foo"}}
    rows = [
        ("POST", PODS, pod, asked("pods", "POST", 201, "resource")),
        ("PUT", f"{PODS}/foo", None, asked("pods", "PUT", 200, "resource")),
        ("PUT", f"{PODS}/foo/status", None, asked("pods", "PUT", 200, "resource", "status")),
        ("GET", f"{PODS}/foo", None, asked("pods", "GET", 200, "resource")),
        ("GET", PODS, None, asked("pods", "LIST", 200, "namespace")),
        ("GET", "/api/v1/pods", None, asked("pods", "LIST", 200, "cluster")),
        ("DELETE", f"{PODS}/foo", None, asked("pods", "DELETE", 200, "resource")),
        ("POST", names, name, asked("namespaces", "POST", 201, "resource")),
        ("PUT", f"{names}/foo", None, asked("namespaces", "PUT", 200, "resource")),
        ("PUT", f"{names}/foo/status", None, asked("namespaces", "PUT", 200, "resource", "status")),
        ("GET", f"{names}/foo", None, asked("namespaces", "GET", 200, "resource")),
        ("GET", names, None, asked("namespaces", "LIST", 200, "cluster")),
        ("DELETE", f"{names}/foo", None, asked("namespaces", "DELETE", 200, "resource")),
    ]
    for method, path, body, _ in rows:
        sent = await api.get(path) if method == "PUT" else body
        answer = await api(method, path, sent)
        assert answer.status < 300, (method, path, answer.json)
    counted = {line.rpartition(" ")[0] for line in await metrics(api)}
    for *_, wanted in rows:
        assert wanted in counted


async def test_nobody_makes_labels_by_asking_for_them(api: Any, make_pod: Any) -> None:
    await api.create(PODS, make_pod("foo"))
    for path in (f"{PODS}/foo/status", f"{PODS}/bar/status", f"{PODS}/bar/binding"):
        await api("GET", path)
    known = len(api.server.backend.metrics._kinds)
    for path in (f"{PODS}/foo/one", f"{PODS}/foo/two", "/api/v1/three", "/apis/four/v1/five", "/six"):
        assert (await api("GET", path)).status >= 400
    assert len(api.server.backend.metrics._kinds) == known


# -- statuses, lists, sizes, timeouts


@pytest.mark.parametrize("path", ["/apis/autoscaling/", "/apis/batch/", "/apis/apps/", "/api/", "/apis/"])
async def test_paths_may_end_with_a_slash(api: Any, path: str) -> None:
    assert (await api("GET", path)).status == 200


@pytest.mark.parametrize(
    ("path", "user", "code", "reason", "message"),
    [
        (
            "/apis/batch/v1/namespaces/default/jobs/foo",
            "admin",
            404,
            "NotFound",
            'jobs.batch "foo" not found',
        ),
        ("/metrics", "alice", 403, "Forbidden", 'forbidden: User "alice" cannot get path "/metrics"'),
        ("/apis", "nobody", 401, "Unauthorized", "Unauthorized"),
    ],
)
async def test_a_refusal_is_a_status(
    api: Any, path: str, user: str, code: int, reason: str, message: str
) -> None:
    answer = await api("GET", path, user=user)
    found = answer.json
    assert (answer.status, found["code"], found["reason"], found["message"]) == (code, code, reason, message)
    assert (found["apiVersion"], found["kind"], found["status"]) == ("v1", "Status", "Failure")


async def test_an_empty_list_has_items(api: Any) -> None:
    assert (await api.get(PODS))["items"] == []


def deployment(**meta: Any) -> dict[str, Any]:
    labels = {"foo": "bar"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "foo", "image": "foo"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "test", **meta}, "spec": spec}


async def test_annotations_that_are_too_large(api: Any) -> None:
    long = deployment(annotations={f"a{number}": "a" * 70_000 for number in range(4)})
    answer = await api("POST", f"{APPS}/default/deployments", long)
    assert answer.status == 422
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in answer.message


@pytest.mark.parametrize(("timeout", "code"), [("invalid", 400), ("3m", 200), ("0s", 200)])
async def test_a_timeout_in_the_query(api: Any, timeout: str, code: int) -> None:
    answer = await api("GET", f"/version?timeout={timeout}")
    assert answer.status == code
    if code == 400:
        assert b"invalid timeout specified in the request URL" in answer.raw


async def test_a_watch_needs_no_more_than_to_be_asked_for(api: Any) -> None:
    response = await api.send("GET", "/api/v1/namespaces?watch=1")
    assert response.status == 200
    await response.stream.aclose()


# -- flow control


def level(name: str, **limited: Any) -> dict[str, Any]:
    spec = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}, **limited}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": spec}}


def schema(name: str, user: str) -> dict[str, Any]:
    rule = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    subjects = [{"kind": "User", "user": {"name": user}}]
    return {"metadata": {"name": name}, "spec": {
        "matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": name},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": subjects, "nonResourceRules": [rule]}],
    }}  # fmt: skip


async def test_requests_are_classified_by_what_was_created(api: Any) -> None:
    made = await api.create(f"{FLOW}/prioritylevelconfigurations", level("e2e"))
    flow = await api.create(f"{FLOW}/flowschemas", schema("e2e", "alice"))
    await api.settle()
    mine = (await api("GET", "/version", user="alice")).headers
    assert mine["x-kubernetes-pf-prioritylevel-uid"] == made["metadata"]["uid"]
    assert mine["x-kubernetes-pf-flowschema-uid"] == flow["metadata"]["uid"]
    other = (await api("GET", "/version")).headers
    assert other["x-kubernetes-pf-prioritylevel-uid"] not in ("", made["metadata"]["uid"])
    assert other["x-kubernetes-pf-flowschema-uid"] not in ("", flow["metadata"]["uid"])


async def test_two_levels_of_one_share_have_a_seat_each(serving: Any) -> None:
    async with serving(max_requests_inflight=1, max_mutating_requests_inflight=1) as api:
        queuing = {"queues": 100, "handSize": 1, "queueLengthLimit": 50}
        for name in ("noxu1", "noxu2"):
            response = {"type": "Queue", "queuing": queuing}
            await api.create(
                f"{FLOW}/prioritylevelconfigurations",
                level(name, borrowingLimitPercent=0, limitResponse=response),
            )
            await api.create(f"{FLOW}/flowschemas", schema(name, name))
        await api.settle()
        await api.get("/version")
        lines = await metrics(api)
        for name in ("noxu1", "noxu2"):
            assert f'apiserver_flowcontrol_nominal_limit_seats{{priority_level="{name}"}} 1' in lines


async def test_conditions_of_others_stay_beside_ours(api: Any) -> None:
    path = f"{FLOW}/flowschemas/system-nodes"
    own = {"type": "test-ssa", "status": "True", "reason": "SSA", "message": "for testing",
           "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    applied = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
               "metadata": {"name": "system-nodes"}, "status": {"conditions": [own]}}  # fmt: skip
    answer = await api(
        "PATCH", f"{path}/status?fieldManager=ssa-test", applied, content_type="application/apply-patch+yaml"
    )
    assert answer.status == 200, answer.json
    found = {one["type"]: one["status"] for one in answer.json["status"]["conditions"]}
    assert found == {"Dangling": "False", "test-ssa": "True"}
    await api.server.traffic._repair.mend()
    assert {one["type"] for one in (await api.get(path))["status"]["conditions"]} == {"Dangling", "test-ssa"}


# -- audit


RULES = [
    {"level": "None", "users": ["quiet"]},
    {"level": "Request", "namespaces": ["create-request"],
     "resources": [{"group": "", "resources": ["serviceaccounts/token"]}]},
    {"level": "RequestResponse", "namespaces": ["create-response"],
     "resources": [{"group": "", "resources": ["serviceaccounts/token"]}]},
    {"level": "Request", "namespaces": ["update-request"],
     "resources": [{"group": "apps", "resources": ["deployments/scale"]}]},
    {"level": "RequestResponse", "namespaces": ["update-response"],
     "resources": [{"group": "apps", "resources": ["deployments/scale"]}]},
    {"level": "Request", "namespaces": ["wildcard"],
     "resources": [{"group": "*", "resources": ["deployments"]}]},
    {"level": "Request", "namespaces": ["default"],
     "resources": [{"group": "", "resources": ["configmaps"]}]},
]  # fmt: skip


def last(log: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(log.read_bytes().splitlines()[-1])
    return found


async def make_request(api: Any, namespace: str) -> None:
    """Make the request that a namespace is about."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    if namespace.startswith("create"):
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        await api.create(accounts, {"metadata": {"name": "sa"}})
        await api("POST", f"{accounts}/sa/token", {"spec": {"audiences": ["api"]}})
    else:
        sets = f"{APPS}/{namespace}/deployments"
        await api.create(sets, deployment())
        if namespace.startswith("update"):
            scale = {"metadata": {"name": "test", "namespace": namespace}, "spec": {"replicas": 2}}
            await api("PUT", f"{sets}/test/scale", scale)


@pytest.mark.parametrize(
    ("namespace", "verb", "resource", "code", "answered"),
    [
        ("create-request", "create", "serviceaccounts", 201, False),
        ("create-response", "create", "serviceaccounts", 201, True),
        ("update-request", "update", "deployments", 200, False),
        ("update-response", "update", "deployments", 200, True),
        ("wildcard", "create", "deployments", 201, False),
    ],
)
async def test_subresources_of_other_groups_are_audited(
    serving: Any, tmp_path: Path, namespace: str, verb: str, resource: str, code: int, answered: bool
) -> None:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": RULES}))
    async with serving(audit=AuditOptions(policy, LogOptions(str(log)))) as api:
        await make_request(api, namespace)
    event = last(log)
    assert (event["stage"], event["verb"]) == ("ResponseComplete", verb)
    assert (event["objectRef"]["resource"], event["objectRef"]["namespace"]) == (resource, namespace)
    assert event["responseStatus"]["code"] == code
    assert ("requestObject" in event, "responseObject" in event) == (True, answered)
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"


@pytest.mark.parametrize(("rule", "kept"), [("quiet", True), ("admin", False)])
async def test_policies_mean_who_asks_not_as_whom(
    serving: Any, tmp_path: Path, rule: str, kept: bool
) -> None:
    """Nobody gets out of the log by acting as somebody who is not logged, nor into it."""
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    rules = [{**RULES[0], "users": [rule]}, *RULES[1:]]
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    async with serving(audit=AuditOptions(policy, LogOptions(str(log)))) as api:
        maps = "/api/v1/namespaces/default/configmaps"
        await api("GET", maps, impersonate_user="quiet", impersonate_group="system:masters")
    assert log.exists() is kept
    if kept:
        event = last(log)
        assert (event["user"]["username"], event["impersonatedUser"]["username"]) == ("admin", "quiet")
