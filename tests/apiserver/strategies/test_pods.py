"""What new and changed pods keep, reset, count and warn of: the second half of upstream's table of pods."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

PODS = "/api/v1/namespaces/default/pods"
Body = dict[str, Any]
KEY = "container.apparmor.security.beta.kubernetes.io/"


def named(*names: str, **fields: Any) -> list[Body]:
    return [{"name": name, "image": "i", **fields} for name in names]


def pod(*, annotations: Body | None = None, labels: Body | None = None, **spec: Any) -> Body:
    meta = {"name": "p", "annotations": annotations or {}, "labels": labels or {}}
    return {"metadata": meta, "spec": {"containers": named("c"), **spec}}


def profiled(kind: str) -> Body:
    return {"securityContext": {"appArmorProfile": {"type": kind}}}


def local(name: str) -> Body:
    return {"type": "Localhost", "localhostProfile": name}


NO, DEFAULT, FREE = None, {"type": "RuntimeDefault"}, {"type": "Unconfined"}
PROFILES: dict[str, tuple[Body, list[Body | None], list[str]]] = {
    # a pod, the profiles of its containers (those that come first, first), whose annotations are told of
    "no annotations": (pod(initContainers=named("i"), securityContext={}), [NO, NO], []),
    "the pod's own": (pod(initContainers=named("i"), **profiled("Unconfined")), [NO, NO], []),
    "a container's own": (
        pod(containers=named("c", **profiled("Unconfined")), **profiled("RuntimeDefault")), [FREE], []
    ),
    "some containers' own": (
        pod(
            containers=[
                *named("a", **profiled("Unconfined")), *named("b"), *named("c", **profiled("RuntimeDefault"))
            ]
        ),
        [FREE, NO, DEFAULT], [],
    ),
    "unconfined": (pod(annotations={"c": "unconfined"}), [FREE], ["c"]),
    "default, beside the pod's other one": (
        pod(
            annotations={"c": "runtime/default"}, containers=named("c", securityContext={}),
            **profiled("Unconfined"),
        ),
        [DEFAULT], ["c"],
    ),
    "of several": (
        pod(
            annotations={"i": "unconfined", "a": "localhost/test", "c": "runtime/default"},
            initContainers=named("i"), containers=named("a", "b", "c"), **profiled("RuntimeDefault"),
        ),
        [FREE, local("test"), NO, NO], ["i", "a"],
    ),
    "as the pod says": (
        pod(annotations={"c": "runtime/default"}, **profiled("RuntimeDefault")), [NO], []
    ),
    "instead of what the pod says": (
        pod(annotations={"c": "unconfined"}, **profiled("RuntimeDefault")), [FREE], ["c"]
    ),
    "mixed": (
        pod(
            annotations={"a": "unconfined"}, **profiled("RuntimeDefault"),
            containers=[*named("a"), *named("b", **profiled("Unconfined")), *named("c")],
        ),
        [FREE, FREE, NO], ["a"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "profiles", "names"), PROFILES.values(), ids=PROFILES)
async def test_profiles_in_annotations_become_fields(
    api: Any, told: Any, body: Body, profiles: list[Body | None], names: list[str]
) -> None:
    """The annotations stay as they are, and no field becomes one."""
    body = deepcopy(body)
    annotations = {KEY + name: value for name, value in body["metadata"]["annotations"].items()}
    body["metadata"]["annotations"] = annotations
    answer = await api("POST", PODS, body)
    spec = answer.json["spec"]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    assert [one.get("securityContext", {}).get("appArmorProfile") for one in containers] == profiles
    assert answer.json["metadata"].get("annotations", {}) == annotations
    text = 'deprecated since v1.30; use the \\"appArmorProfile\\" field instead'
    assert told(answer) == [f"metadata.annotations[{KEY}{name}]: {text}" for name in names]


def asking(cpu: str, memory: str, **more: Any) -> Body:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


SMALL, LARGE = asking("100m", "1Gi"), asking("200m", "4Gi")
POLICY = {
    "resizePolicy": [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
    ]
}
ALWAYS = {"restartPolicy": "Always"}
ONE, TWO = pod(containers=named("a", **SMALL)), pod(containers=named("a", "b", **SMALL))
SIDE = pod(initContainers=named("i", **SMALL, **ALWAYS))
FIRST = pod(initContainers=named("i", **SMALL))
RESIZED: dict[str, tuple[Body, Body, int]] = {
    "nothing": (ONE, {}, 1),
    "what they ask for": (TWO, {"containers": named("a", "b", **LARGE)}, 2),
    "what a sidecar asks for": (SIDE, {"initContainers": named("i", **LARGE, **ALWAYS)}, 2),
    "what one that comes first asks for": (FIRST, {"initContainers": named("i", **LARGE)}, 2),
}
COUNT = "spec.containers: Forbidden: containers may not be added or removed on resize"
ORDER = [
    f"spec.containers[{at}].name: Forbidden: containers may not be renamed or reordered on resize"
    for at in range(2)
]
REFUSED: dict[str, tuple[Body, Body, str]] = {
    "how they are resized": (
        ONE, {"containers": named("a", **SMALL, **POLICY)},
        "spec: Forbidden: only cpu and memory resources are mutable",
    ),
    "another container": (ONE, {"containers": named("a", "b", **SMALL)}, COUNT),
    "another container, and what one asks for": (
        ONE, {"containers": [*named("a", **LARGE), *named("b", **SMALL)]}, COUNT
    ),
    "another order": (TWO, {"containers": named("b", "a", **LARGE)}, f"[{', '.join(ORDER)}]"),
    "another order, and what a resize says nothing about": (
        TWO, {"containers": named("b", "a", **LARGE), "dnsPolicy": "Nowhere"}, f"[{', '.join(ORDER)}]"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "change", "generation"), RESIZED.values(), ids=RESIZED)
async def test_resizes(api: Any, body: Body, change: Body, generation: int) -> None:
    made = await api.create(PODS, body)
    wanted = {**made, "spec": {**made["spec"], **change}, "status": {"phase": "Running"}}
    wanted["metadata"] = {**made["metadata"], "labels": {"not": "taken"}, "annotations": {"not": "taken"}}
    after = await api.put(f"{PODS}/p/resize", wanted)
    meta = after["metadata"]
    assert (meta["generation"], "labels" in meta, "annotations" in meta) == (generation, False, False)
    assert after["status"] == made["status"]
    for key, containers in change.items():
        for found, asked in zip(after["spec"][key], containers, strict=True):
            assert {name: found.get(name) for name in asked} == asked


@pytest.mark.parametrize(("body", "change", "fault"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_resize(api: Any, body: Body, change: Body, fault: str) -> None:
    made = await api.create(PODS, body)
    answer = await api("PUT", f"{PODS}/p/resize", {**made, "spec": {**made["spec"], **change}})
    assert (answer.status, answer.message) == (422, f'Pod "p" is invalid: {fault}')


GENERATIONS: dict[str, tuple[Body, int]] = {
    "nothing": ({}, 1),
    "metadata": ({"metadata": {"annotations": {"foo": "baz"}}}, 1),
    "what is the same": ({"spec": {"tolerations": [], "hostAliases": []}}, 1),
    "a toleration": ({"spec": {"tolerations": [{"key": "k", "operator": "Equal", "value": "v"}]}}, 2),
    "an image": ({"spec": {"containers": [{"name": "c", "image": "j"}]}}, 2),
}


@pytest.mark.parametrize(("change", "generation"), GENERATIONS.values(), ids=GENERATIONS)
async def test_generations(api: Any, left_behind: Any, change: Body, generation: int) -> None:
    """A pod of an older server has none, and gets one with its first change."""
    body = pod()
    body["metadata"]["generation"] = 5
    made = await api.create(PODS, body)
    assert made["metadata"]["generation"] == 1
    after = (await api.patch(f"{PODS}/p", change, "strategic")).json
    assert after["metadata"]["generation"] == generation
    del made["metadata"]["generation"]
    await left_behind(PODS, made)
    after = (await api.patch(f"{PODS}/p", change, "strategic")).json
    assert after["metadata"].get("generation", 0) == generation - 1


async def test_generations_count_debugging_containers(api: Any) -> None:
    await api.create(PODS, pod())
    same = await api.patch(f"{PODS}/p/ephemeralcontainers", {"spec": {}}, "strategic")
    debugging = {"spec": {"ephemeralContainers": named("e")}}
    more = await api.patch(f"{PODS}/p/ephemeralcontainers", debugging, "strategic")
    assert [one.json["metadata"]["generation"] for one in (same, more)] == [1, 2]


async def test_a_write_of_the_status_leaves_owners_and_class(api: Any) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs-1", "uid": "u"}
    body = pod(containers=named("c", **asking("1", "1Gi")))
    body["metadata"]["ownerReferences"] = [owner]
    made = await api.create(PODS, body)
    assert made["status"]["qosClass"] == "Burstable"
    told = {**made, "status": {"phase": "Running"}, "spec": {**made["spec"], "hostname": "h"}}
    told["metadata"] = {**made["metadata"], "ownerReferences": [owner | {"name": "rs-2"}]}
    told["metadata"]["labels"] = {"a": "b"}
    after = await api.put(f"{PODS}/p/status", told)
    assert after["metadata"]["ownerReferences"] == [owner]
    assert after["metadata"]["labels"] == {"a": "b"}
    assert after["status"] == {"phase": "Running", "qosClass": "Burstable"}
    assert after["spec"] == made["spec"]


def condition(kind: str, seen: int = 0) -> Body:
    return {"type": kind, "status": "True", **({"observedGeneration": seen} if seen else {})}


async def test_what_was_seen_stays_seen(api: Any) -> None:
    made = await api.create(PODS, pod())
    before = [
        condition("neither"), condition("old", 20), condition("new"), condition("both", 20),
        condition("gone", 1), condition("twice"), condition("twice", 1), condition("twice", 2),
    ]  # fmt: skip
    after = [
        condition("neither"), condition("old"), condition("new", 20), condition("both", 20),
        condition("fresh", 1), condition("twice", 1), condition("twice"), condition("twice", 2),
    ]  # fmt: skip
    expected = deepcopy(after)
    expected[1]["observedGeneration"], expected[6]["observedGeneration"] = 20, 1
    made["metadata"] = {"name": "p"}
    for conditions, seen in ((before, {"observedGeneration": 20}), (after, {})):
        status = {"phase": "Running", "conditions": conditions, **seen}
        written = await api.put(f"{PODS}/p/status", {**made, "status": status})
    assert written["status"]["observedGeneration"] == 20
    times = ("lastProbeTime", "lastTransitionTime")
    found = [{key: one[key] for key in one if key not in times} for one in written["status"]["conditions"]]
    assert found == expected


async def test_addresses_of_a_status(api: Any, told: Any) -> None:
    await api.create(PODS, pod(hostNetwork=True))
    good: Body = {"podIPs": [{"ip": "1.2.3.4"}], "hostIPs": [{"ip": "5.6.7.8"}, {"ip": "fd00::5678"}]}
    good |= {"podIP": "1.2.3.4", "hostIP": "5.6.7.8"}
    answer = await api.patch(f"{PODS}/p/status", {"status": good})
    assert (answer.status, told(answer)) == (200, [])
    odd = {"hostIPs": [{"ip": "5.6.7.8"}, {"ip": "fd00:0::5678"}]}
    answer = await api.patch(f"{PODS}/p/status", {"status": odd})
    spelling = 'IPv6 address \\"fd00:0::5678\\" should be in RFC 5952 canonical format (\\"fd00::5678\\")'
    assert told(answer) == [f"status.hostIPs[1].ip: {spelling}"]


ASKED: dict[str, tuple[Body, int]] = {
    "nowhere": ({}, 400),
    "a kind that is none": ({"name": "machine", "kind": "unknown"}, 400),
    "no kind": ({"name": "machine"}, 201),
    "a node": ({"name": "machine", "kind": "Node"}, 201),
}


@pytest.mark.parametrize(("target", "status"), ASKED.values(), ids=ASKED)
async def test_where_a_pod_is_bound_to(api: Any, target: Body, status: int) -> None:
    await api.create(PODS, pod())
    answer = await api("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": target})
    assert answer.status == status, answer.json
    assert (await api.get(f"{PODS}/p"))["spec"].get("nodeName") == ("machine" if status == 201 else None)
    if status == 201:
        again = await api("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": target})
        assert (again.status, again.json["reason"]) == (409, "Conflict")


@pytest.mark.parametrize("uid", ["same", "", "other"])
@pytest.mark.parametrize("version", ["same", "", "other"])
async def test_which_pod_is_bound(api: Any, uid: str, version: str) -> None:
    meta = (await api.create(PODS, pod()))["metadata"]
    bound: Body = {"name": "p"}
    for key, which in (("uid", uid), ("resourceVersion", version)):
        bound |= {key: meta[key] if which == "same" else f"{meta[key]}9"} if which else {}
    answer = await api("POST", f"{PODS}/p/binding", {"metadata": bound, "target": {"name": "machine"}})
    wrong = "other" in (uid, version)
    assert answer.status == (409 if wrong else 201)
    assert (await api.get(f"{PODS}/p"))["spec"].get("nodeName") == (None if wrong else "machine")
