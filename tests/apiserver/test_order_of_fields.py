"""What answers look like as text: fields in the order of Go's types, maps by their keys, markup escaped."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.conftest import Api
from tests.apiserver.handlers.test_reads import read_events
from tests.apiserver.test_every_kind import cases

from tiphys.apimachinery.go_text import without_markup
from tiphys.apis.go_order import in_go_order

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
SCALERS = "namespaces/default/horizontalpodautoscalers"


@pytest.fixture
def api(swept_api: Any) -> Any:
    return swept_api


def backwards(value: Any) -> Any:
    """The same value, said from its end."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def in_order(raw: bytes) -> bytes:
    return without_markup(orjson.dumps(in_go_order(orjson.loads(raw))))


async def test_answers_of_every_kind_are_in_go_order(api: Api) -> None:
    for _, path, given in cases(api):
        obj = backwards(given)
        tried = await api("POST", f"{path}?dryRun=All", obj)
        made = await api("POST", path, obj)
        assert made.status == 201, made.raw
        one = f"{path}/{made.json['metadata']['name']}"
        marked = await api.patch(one, {"metadata": {"labels": {"z": "1", "a": "1"}}})
        assert list(marked.json["metadata"]["labels"])[-1] == "z"
        listed = await api("GET", path)
        for answer in (tried, made, marked, await api("GET", one), listed):
            assert answer.raw.strip() == in_order(answer.raw), path


async def test_a_pod_as_text(api: Api) -> None:
    pod = {
        "spec": {
            "terminationGracePeriodSeconds": 5, "nodeSelector": {"b": "1", "a": "2"},
            "initContainers": [{"image": "i", "name": "first"}],
            "containers": [{"command": ["a"], "image": "i", "name": "c"}],
            "automountServiceAccountToken": False,
        },
        "metadata": {"labels": {"x": "1", "b": "2"}, "namespace": "default", "name": "p"},
    }  # fmt: skip
    raw = (await api("POST", PODS, pod)).raw.decode()
    made = orjson.loads(raw)
    assert list(made) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(made["metadata"]) == [
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels",
        "managedFields",
    ]  # fmt: skip
    assert list(made["spec"]) == [
        "initContainers", "containers", "restartPolicy", "terminationGracePeriodSeconds", "dnsPolicy",
        "nodeSelector", "serviceAccountName", "serviceAccount", "automountServiceAccountToken",
        "securityContext", "schedulerName", "tolerations", "priority", "enableServiceLinks",
        "preemptionPolicy",
    ]  # fmt: skip
    assert '"nodeSelector":{"a":"2","b":"1"}' in raw
    assert '{"name":"c","image":"i","command":["a"],"resources":{},' in raw
    assert raw == (await api("GET", f"{PODS}/p")).raw.decode()


async def test_objects_cast_in_a_mold_are_in_order(api: Api) -> None:
    for name in ("a", "b", "c", "d"):
        meta = {"name": name, "labels": {"z": "1", "a": "2"}}
        made = await api("POST", MAPS, {"data": {"z": "1", "b": name}, "metadata": meta})
        assert '"labels":{"a":"2","z":"1"}' in made.raw.decode()
        assert made.raw.strip().endswith(b'"data":{"b":"%b","z":"1"}}' % name.encode())
        assert made.raw.strip() == in_order(made.raw)


MARKUP, ESCAPED = "<a>&\u2028", b"\\u003ca\\u003e\\u0026\\u2028"
AS = "application/json;as={};g=meta.k8s.io;v=v1"


async def test_markup_is_escaped_everywhere(api: Api) -> None:
    answers = []
    for name in ("a", "b", "c", "d"):  # the last ones are cast in a mold
        meta = {"name": name, "annotations": {"note": MARKUP}}
        answers.append((await api("POST", MAPS, {"data": {"of": name, "k": MARKUP}, "metadata": meta})).raw)
    queries = ("", "?limit=1", "?pretty=true", "?labelSelector=!x")
    head, heads, table = map(AS.format, ("PartialObjectMetadata", "PartialObjectMetadataList", "Table"))
    for listed, watched in (("application/json",) * 2, (heads, head), (table, table)):
        answers += [(await api("GET", MAPS + query, accept=listed)).raw for query in queries]
        told = await api.send("GET", f"{MAPS}?watch=1", accept=watched)
        answers.append((await anext(told.stream)).splitlines()[0])
        await told.stream.aclose()
    answers.append((await api("GET", f"{MAPS}/a")).raw)
    answers.append((await api("POST", MAPS, {"metadata": {"name": "<a>&"}})).raw + ESCAPED)
    for raw in answers:
        assert ESCAPED in raw
        assert not [letter for letter in MARKUP.replace("a", "") if letter.encode() in raw], raw
    assert orjson.loads(answers[0])["data"]["k"] == MARKUP


async def test_another_version_has_an_order_of_its_own(api: Api) -> None:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    metrics = [{"type": "Resource", "resource": {
        "target": {"averageUtilization": 5, "type": "Utilization"}, "name": "cpu"}}]  # fmt: skip
    spec = {"metrics": metrics, "maxReplicas": 3, "minReplicas": 2, "scaleTargetRef": target}
    await api.create(f"/apis/autoscaling/v2/{SCALERS}", {"metadata": {"name": "h"}, "spec": spec})
    one = await api("GET", f"/apis/autoscaling/v1/{SCALERS}/h")
    assert list(one.json["spec"]) == [
        "scaleTargetRef", "minReplicas", "maxReplicas", "targetCPUUtilizationPercentage"
    ]  # fmt: skip
    listed = await api("GET", f"/apis/autoscaling/v1/{SCALERS}")
    assert list(listed.json["items"][0]["spec"]) == list(one.json["spec"])
    told = await read_events(await api.send("GET", f"/apis/autoscaling/v1/{SCALERS}?watch=1"), 1)
    assert list(told[0]["object"]["spec"]) == list(one.json["spec"])


async def test_heads_alone(api: Api) -> None:
    await api.create(MAPS, {"metadata": {"labels": {"b": "1", "a": "1"}, "name": "c"}})
    answer = await api("GET", f"{MAPS}/c", accept=AS.format("PartialObjectMetadata"))
    head = answer.json["metadata"]
    assert answer.json["kind"] == "PartialObjectMetadata"
    assert list(head)[:5] == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]


async def test_reviews(api: Api) -> None:
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}, "user": "x"}
    answer = await api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert list(answer.json) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(answer.json["spec"]["resourceAttributes"]) == ["namespace", "verb", "resource"]
