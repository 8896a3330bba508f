"""Rules that hold for every object, whatever its kind: cases of upstream's registry and store."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CMS = "/api/v1/namespaces/default/configmaps"
IMMUTABLE = 'ConfigMap "c" is invalid: metadata.{}: Invalid value: {}: field is immutable'


@pytest.mark.parametrize(
    ("meta", "status", "message"),
    [
        ({"deletionTimestamp": "2020-01-01T00:00:00Z"}, 422,
         IMMUTABLE.format("deletionTimestamp", '"2020-01-01T00:00:00Z"')),
        ({"deletionGracePeriodSeconds": 3}, 422, IMMUTABLE.format("deletionGracePeriodSeconds", 3)),
        ({"resourceVersion": "zz"}, 400, 'strconv.ParseUint: parsing "zz": invalid syntax'),
        ({"resourceVersion": "-1"}, 400, 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ({"creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7, "selfLink": "x"}, 200, ""),
        ({"resourceVersion": "0"}, 200, ""),
        ({"uid": "", "creationTimestamp": None, "deletionTimestamp": None}, 200, ""),
    ],
)  # fmt: skip
async def test_what_an_update_cannot_say(api: Any, meta: dict[str, Any], status: int, message: str) -> None:
    made = await api.create(CMS, {"metadata": {"name": "c"}})
    answer = await api("PUT", f"{CMS}/c", {"metadata": {**made["metadata"], **meta}})
    assert (answer.status, answer.message) == (status, message)
    if status == 200:
        assert answer.json == made


async def test_an_update_of_what_is_going(api: Any) -> None:
    """It need not repeat that, nor can it change it; a status says nothing about it."""
    await api.create(CMS, {"metadata": {"name": "c", "finalizers": ["example.com/a"]}})
    going = (await api("DELETE", f"{CMS}/c")).json["metadata"]
    answer = await api("PUT", f"{CMS}/c", {"metadata": {"name": "c", "finalizers": going["finalizers"]}})
    assert answer.json["metadata"]["deletionTimestamp"] == going["deletionTimestamp"]
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 0
    answer = await api.patch(f"{CMS}/c", {"metadata": {"deletionGracePeriodSeconds": 9}})
    assert (answer.status, answer.message) == (422, IMMUTABLE.format("deletionGracePeriodSeconds", 9))
    answer = await api.patch(f"{CMS}/c", {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}})
    assert answer.json["metadata"]["deletionTimestamp"] == going["deletionTimestamp"]


async def test_a_status_cannot_end_a_pod(api: Any, make_pod: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    await api.create(pods, make_pod())
    body = {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}, "status": {"message": "m"}}
    answer = await api.patch(f"{pods}/p/status", body)
    assert (answer.status, answer.json["status"]["message"]) == (200, "m")
    assert "deletionTimestamp" not in answer.json["metadata"]


async def test_names_that_are_taken(api: Any) -> None:
    await api.create(CMS, {"metadata": {"name": "c"}})
    await api.create(CMS, {"metadata": {"name": "going", "finalizers": ["example.com/a"]}})
    await api("DELETE", f"{CMS}/going")
    cases = {
        "c": 'configmaps "c" already exists',
        "going": 'object is being deleted: configmaps "going" already exists',
    }
    for name, message in cases.items():
        for query in ("", "?dryRun=All"):
            answer = await api("POST", CMS + query, {"metadata": {"name": name}})
            assert (answer.status, answer.json["reason"], answer.message) == (409, "AlreadyExists", message)
    answer = await api("POST", CMS, {"metadata": {"name": "c", "generateName": "c-"}})
    assert answer.json["details"] == {"name": "c", "kind": "configmaps", "retryAfterSeconds": 1}
    assert (answer.status, answer.headers["retry-after"]) == (409, "1")
    why = "already exists, the server was not able to generate a unique name for the object"
    assert answer.message == f'configmaps "c" {why}'


async def test_a_name_that_cannot_be_made(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.create(CMS, {"metadata": {"name": "c-1"}})
    made: list[str] = []
    monkeypatch.setattr(
        "tiphys.apiserver.registry.meta_rules.generate_name", lambda prefix: made.append(prefix) or "c-1"
    )
    answer = await api("POST", CMS, {"metadata": {"generateName": "c-"}})
    assert (answer.status, answer.json["reason"], len(made)) == (409, "AlreadyExists", 8)
    assert answer.message.startswith('configmaps "c-1" already exists, the server was not able')


@pytest.mark.parametrize(
    ("version", "query", "status"),
    [("5", "", 400), ("5", "?dryRun=All", 201), ("0", "", 201), ("junk", "", 201)],
)
async def test_a_new_object_with_a_version(api: Any, version: str, query: str, status: int) -> None:
    answer = await api("POST", CMS + query, {"metadata": {"name": "c", "resourceVersion": version}})
    assert answer.status == status
    if status == 400:
        assert answer.message == "resourceVersion should not be set on objects to be created"


async def test_what_lives_in_no_namespace_forgets_one(api: Any) -> None:
    body = {"metadata": {"name": "n", "namespace": "default"}}
    made = await api.create("/api/v1/nodes", body)
    assert "namespace" not in made["metadata"]
    assert "namespace" not in (await api.put("/api/v1/nodes/n", body))["metadata"]
    assert (await api.patch("/api/v1/nodes/n", body)).status == 200


@pytest.mark.parametrize(
    ("name", "fault"), [("a%b", "may not contain '%'"), (".", "may not be '.'"), ("..", "may not be '..'")]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_names_that_no_object_can_have(api: Any, method: str, name: str, fault: str) -> None:
    body = None if method == "GET" else {} if method == "DELETE" else {"metadata": {"name": name}}
    kind = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
    answer = await api(method, f"{CMS}/{name}", body, **kind)
    assert (answer.status, answer.message) == (400, f'Name parameter invalid: "{name}": {fault}')


async def test_a_collection_is_told_as_it_was(api: Any) -> None:
    """What has finalizers is not gone, and yet shown as it was before."""
    for name, finalizers in (("a", []), ("b", ["example.com/a"])):
        await api.create(CMS, {"metadata": {"name": name, "finalizers": finalizers}})
    before = await api.get(CMS)
    answer = await api("DELETE", CMS)
    assert answer.json["items"] == before["items"]
    assert [item["metadata"]["name"] for item in (await api.get(CMS))["items"]] == ["b"]
    answer = await api("DELETE", f"{CMS}?resourceVersion=999999999&resourceVersionMatch=Exact")
    assert answer.status == 504


async def test_finalizers_that_a_deletion_asks_for_again_keep_their_order(api: Any) -> None:
    finalizers = ["orphan", "example.com/a"]
    await api.create(CMS, {"metadata": {"name": "c", "finalizers": finalizers}})
    answer = await api("DELETE", f"{CMS}/c?propagationPolicy=Orphan")
    assert answer.json["metadata"]["finalizers"] == finalizers


async def test_a_pod_without_grace_left_may_change_its_finalizers(api: Any, make_pod: Any) -> None:
    pods = "/api/v1/namespaces/default/pods"
    pod = make_pod()
    pod["metadata"]["finalizers"] = ["example.com/a"]
    await api.create(pods, pod)
    assert (await api("DELETE", f"{pods}/p")).json["metadata"]["deletionGracePeriodSeconds"] == 0
    answer = await api("DELETE", f"{pods}/p?propagationPolicy=Foreground")
    assert answer.json["metadata"]["finalizers"] == ["example.com/a", "foregroundDeletion"]


async def test_conditions_without_a_type(api: Any) -> None:
    """They have the empty one, as types of Go know no other, and can be applied to."""
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/apis/apps/v1/namespaces/default/deployments"
    spec = {"selector": {"matchLabels": labels}, "template": template}
    await api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    written = await api.patch(f"{path}/d/status", {"status": {"conditions": [{"status": "True"}]}})
    assert written.json["status"]["conditions"] == [
        {"status": "True", "type": "", "lastTransitionTime": None, "lastUpdateTime": None}
    ]
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    body["status"] = {"conditions": [{"type": "A", "status": "True"}]}  # type: ignore[assignment]
    applied = await api.patch(f"{path}/d/status?fieldManager=m", body, "apply")
    assert [one["type"] for one in applied.json["status"]["conditions"]] == ["", "A"]


@pytest.mark.parametrize(
    ("metadata", "kind"), [(1, "number"), ([], "array"), ("m", "string"), (True, "bool")]
)
async def test_metadata_that_is_none(api: Any, metadata: Any, kind: str) -> None:
    answer = await api("POST", CMS, {"metadata": metadata})
    assert (answer.status, answer.message) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal '
        f"{kind} into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
    )


DAEMONS = "/apis/apps/v1/namespaces/default/daemonsets"
COUNT = "deprecated.daemonset.template.generation"
NO_NUMBER = 'strconv.ParseInt: parsing "x": invalid syntax'


def daemons(**annotations: str) -> Any:
    labels, kept = {"a": "b"}, {"pod.beta.kubernetes.io/init-containers": "[]", "c": "d"}
    spec = {"containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": labels, "annotations": kept}, "spec": spec}
    meta = {"name": "d", "annotations": annotations}
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta,
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


async def test_annotations_that_once_were_fields(api: Any) -> None:
    answer = await api("POST", DAEMONS, daemons(**{COUNT: "x"}))
    text = f'DaemonSet in version "v1" cannot be handled as a DaemonSet: {NO_NUMBER}'
    assert (answer.status, answer.message) == (400, text)
    made = await api.create(DAEMONS, daemons())
    assert made["spec"]["template"]["metadata"]["annotations"] == {"c": "d"}
    assert made["metadata"]["annotations"] == {COUNT: "1"}


PATCHED: dict[str, tuple[Any, int, str]] = {
    "merge": ({"metadata": {"annotations": {COUNT: "x"}}}, 422, NO_NUMBER),
    "json": ([{"op": "replace", "path": f"/metadata/annotations/{COUNT}", "value": "x"}], 422, NO_NUMBER),
    "strategic": ({"metadata": {"annotations": {COUNT: "x"}}}, 500, NO_NUMBER),
    "apply": (daemons(**{COUNT: "x"}), 500, f"failed to convert to unversioned: {NO_NUMBER}"),
}


@pytest.mark.parametrize("kind", PATCHED)
async def test_patches_of_annotations_that_once_were_fields(api: Any, kind: str) -> None:
    patch, status, text = PATCHED[kind]
    await api.create(DAEMONS, daemons())
    answer = await api.patch(f"{DAEMONS}/d?fieldManager=m", patch, kind)
    assert answer.status == status
    assert answer.message == text or answer.message.endswith(f": {text}")


async def test_a_revision_to_go_back_to_is_not_negative(api: Any) -> None:
    body = {**daemons(**{"deprecated.deployment.rollback.to": "-1"}), "kind": "Deployment"}
    answer = await api("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    text = "spec.rollback.version: Invalid value: -1: must be greater than or equal to 0"
    assert (answer.status, answer.message) == (422, f'Deployment.apps "d" is invalid: {text}')


@pytest.mark.parametrize("kind", ["", "merge", "strategic"])
async def test_autoscalers_that_scale_by_no_policies(api: Any, kind: str) -> None:
    path, target = (
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        {"kind": "D", "name": "d"},
    )
    spec = {"maxReplicas": 3, "scaleTargetRef": {**target, "apiVersion": "apps/v1"}}
    none = {"behavior": {"scaleUp": {"policies": []}}}
    if kind:
        await api.create(path, {"metadata": {"name": "h"}, "spec": {**spec, "behavior": {"scaleUp": {}}}})
        answer = await api.patch(f"{path}/h", {"spec": none}, kind)
    else:
        answer = await api("POST", path, {"metadata": {"name": "h"}, "spec": {**spec, **none}})
    text = "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"
    assert (answer.status, answer.message) == (
        422,
        f'HorizontalPodAutoscaler.autoscaling "h" is invalid: {text}',
    )


async def test_pods_that_claim_no_devices_as_a_whole(api: Any, make_pod: Any) -> None:
    answer = await api("POST", "/api/v1/namespaces/default/pods", make_pod(resources={"claims": []}))
    text = "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level"
    assert (answer.status, answer.message) == (422, f'Pod "p" is invalid: {text}')


@pytest.mark.parametrize("counters", [None, [], [{"name": "c", "counters": {"m": {"value": "1"}}}]])
async def test_slices_of_no_devices(api: Any, counters: Any) -> None:
    """That is none of devices; with counters, even none, it is one of both."""
    path = "/apis/resource.k8s.io/v1/resourceslices"
    pool = {"name": "p", "resourceSliceCount": 1}
    spec = {"driver": "d.example.com", "pool": pool, "nodeName": "n"}
    lists = {"devices": [], "sharedCounters": counters}
    answer = await api("POST", path, {"metadata": {"name": "s"}, "spec": spec | lists})
    if counters is None:
        assert answer.status == 201
        assert "devices" not in answer.json["spec"]
    else:
        text = 'spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed'
        assert (answer.status, answer.message) == (
            422,
            f'ResourceSlice.resource.k8s.io "s" is invalid: {text}',
        )
