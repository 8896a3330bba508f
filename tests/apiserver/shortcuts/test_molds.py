"""Pods that differ from an earlier one in name alone come to the same, as long as nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission import service_account
from tiphys.apiserver.cache.form import encode
from tiphys.apiserver.endpoints import bodies

BASE = "/api/v1/namespaces/here"
PODS = f"{BASE}/pods"
POLICIES = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture(autouse=True)
async def _namespace(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "here"}})
    await api.create(f"{BASE}/serviceaccounts", {"metadata": {"name": "default"}})


class Long:
    """Counts the creations that went the long way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        decode = bodies.decode

        def counted(*arguments: Any) -> Any:
            self._count += arguments[1].kind == "Pod"
            return decode(*arguments)

        monkeypatch.setattr(bodies, "decode", counted)

    def taken(self) -> int:
        """How many did since the last time."""
        count, self._count = self._count, 0
        return count


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> Long:
    return Long(monkeypatch)


def same_but_for_identity(*pods: Any) -> bool:
    """Compare pods without what each has of its own."""
    seen = []
    for pod in pods:
        meta = {k: v for k, v in pod["metadata"].items() if k not in ("name", "uid", "resourceVersion")}
        seen.append({**pod, "metadata": meta})
    return all(one == seen[0] for one in seen)


BODIES: dict[str, Callable[[str, Any], bytes]] = {
    "compact": lambda name, pod: orjson.dumps(pod(name) | {"metadata": {"name": name}}),
    "spaced": lambda name, pod: json.dumps(pod(name) | {"metadata": {"name": name}}).encode(),
    "with labels, notes and an owner": lambda name, pod: orjson.dumps(
        pod(name)
        | {
            "metadata": {
                "name": name, "labels": {"app": "x"}, "annotations": {"a": "b"}, "finalizers": ["x.io/y"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
            }
        }
    ),
    "as Go writes it": lambda name, pod: orjson.dumps(
        {
            "kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "creationTimestamp": None},
            "spec": pod(name)["spec"], "status": {},
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
async def test_pods_that_differ_in_name_come_to_the_same(
    api: Any, make_pod: Any, long: Long, case: str
) -> None:
    first, _ = [await api.create(PODS, BODIES[case](name, make_pod)) for name in ("a", "b")]
    assert long.taken() == 2
    second = await api.create(PODS, BODIES[case]("other-7", make_pod))
    assert long.taken() == 0
    assert same_but_for_identity(first, second)
    assert second["metadata"]["name"] == "other-7"
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert await api.get(f"{PODS}/other-7") == second
    assert await api.get(f"{PODS}/a") == first


@pytest.mark.parametrize("case", BODIES)
async def test_the_stored_bytes_are_those_of_the_object(api: Any, make_pod: Any, case: str) -> None:
    for name in ("a", "b", "c"):
        await api.create(PODS, BODIES[case](name, make_pod))
    server = api.server
    row = server.table.by_path("", "v1", "pods")
    stored = [server.objects.at_hand(row, server.objects.key_of(row, "here", name)) for name in ("b", "c")]
    for cached in stored:
        assert encode(cached.object) == cached.value
        assert orjson.loads(cached.raw) == cached.object
    assert list(stored[0].object) == list(stored[1].object)


async def test_time_and_manager_are_the_creators_own(api: Any, make_pod: Any, long: Long) -> None:
    first, _ = [await api.create(PODS, make_pod() | {"metadata": {"name": name}}) for name in ("a", "b")]
    api.clock.advance(60)
    second = await api.create(f"{PODS}?fieldManager=me", make_pod() | {"metadata": {"name": "c"}})
    assert long.taken() == 2
    (owned,), (own,) = first["metadata"]["managedFields"], second["metadata"]["managedFields"]
    assert own == {**owned, "manager": "me", "time": "2026-01-01T00:01:00Z"}
    assert second["metadata"]["creationTimestamp"] == "2026-01-01T00:01:00Z"


async def test_generated_names(api: Any, make_pod: Any, long: Long) -> None:
    body = make_pod() | {"metadata": {"generateName": "x-"}}
    made = [await api.create(PODS, body) for _ in range(4)]
    assert long.taken() == 2
    assert same_but_for_identity(*made)
    assert len({pod["metadata"]["name"] for pod in made}) == 4
    assert all(pod["metadata"]["name"].startswith("x-") for pod in made)


async def test_a_generated_name_that_is_taken_is_made_again(
    api: Any, make_pod: Any, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make_pod() | {"metadata": {"generateName": "x-"}}
    first, _ = [await api.create(PODS, body) for _ in range(2)]
    monkeypatch.setattr(
        "tiphys.apiserver.shortcuts.molds.generate_name", lambda _base: first["metadata"]["name"]
    )
    second = await api.create(PODS, body)
    assert long.taken() == 3
    assert second["metadata"]["name"] != first["metadata"]["name"]


async def test_changing_one_leaves_the_others_alone(api: Any, make_pod: Any) -> None:
    for name in ("a", "b", "c", "d"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    patch = {"spec": {"containers": [{"name": "c", "image": "other"}]}, "metadata": {"labels": {"x": "y"}}}
    for name in ("b", "c"):  # whose request left the mold, and one that was cast in it
        assert (await api.patch(f"{PODS}/{name}", patch, "strategic")).status == 200
        assert (await api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Running"}})).status == 200
    last = await api.create(PODS, make_pod() | {"metadata": {"name": "e"}})
    assert same_but_for_identity(await api.get(f"{PODS}/a"), await api.get(f"{PODS}/d"), last)
    assert last["status"]["phase"] == "Pending"


async def test_the_same_name_again_is_refused(api: Any, make_pod: Any) -> None:
    for name in ("a", "b", "c"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    answer = await api("POST", PODS, make_pod() | {"metadata": {"name": "c"}})
    assert (answer.status, answer.message) == (409, 'pods "c" already exists')


NAMES = {
    "of two labels": ("b.c", 201),
    "no DNS name": ("B_", 422),
    "empty": ("", 422),
    "longer than a label": ("x" * 64, 201),
    "escaped": ("b\\u0063", 201),
}


@pytest.mark.parametrize("case", NAMES)
async def test_names_that_something_is_to_be_said_of_go_the_long_way(
    api: Any, make_pod: Any, long: Long, case: str
) -> None:
    name, status = NAMES[case]
    body = orjson.dumps(make_pod() | {"metadata": {"name": "NAME"}})
    for plain in (b"x", b"y"):
        await api.create(PODS, body.replace(b"NAME", plain))
    assert (await api("POST", PODS, body.replace(b"NAME", name.encode()))).status == status
    assert long.taken() == 3


SPEC = b'"spec":{"containers":[{"name":"c","image":"i"}]}'
FIRST_NAMES = {
    "the container's": b'{"spec":{"containers":[{"name":"NAME","image":"i"}]},"metadata":{"name":"a-NAME"}}',
    "twice in metadata": b'{"metadata":{"name":"NAME","name":"x-NAME"},' + SPEC + b"}",
    "a label's": b'{"metadata":{"labels":{"name":"NAME"},"name":"a-NAME"},' + SPEC + b"}",
}


@pytest.mark.parametrize("case", FIRST_NAMES)
async def test_a_first_name_that_is_not_the_pods_makes_no_mold(api: Any, long: Long, case: str) -> None:
    for name in (b"one", b"two", b"three"):
        made = await api.create(PODS, FIRST_NAMES[case].replace(b"NAME", name))
        assert made["metadata"]["name"].endswith(name.decode())
        told = json.dumps([made["spec"]["containers"], made["metadata"].get("labels")])
        assert case == "twice in metadata" or name.decode() in told
    assert long.taken() == 3


async def test_a_pod_of_the_same_name_may_differ_in_another(api: Any, long: Long) -> None:
    """In that case the name that differs is not the pod's, though all else is alike."""
    body = b'{"spec":{"containers":[{"name":"NAME","image":"i"}]},"metadata":{"name":"pod"}}'
    for name in (b"one", b"two", b"three"):
        made = await api.create(PODS, body.replace(b"NAME", name))
        assert (made["metadata"]["name"], made["spec"]["containers"][0]["name"]) == ("pod", name.decode())
        assert (await api("DELETE", f"{PODS}/pod", {"gracePeriodSeconds": 0})).status == 200
    assert long.taken() == 3


async def test_another_body_namespace_or_validation_is_another_mold(
    api: Any, make_pod: Any, long: Long
) -> None:
    for name in ("a", "b"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    await api.create("/api/v1/namespaces/default/pods", make_pod() | {"metadata": {"name": "c"}})
    await api.create(PODS, make_pod(hostNetwork=True) | {"metadata": {"name": "d"}})
    await api.create(f"{PODS}?fieldValidation=Strict", make_pod() | {"metadata": {"name": "e"}})
    assert long.taken() == 5


async def test_unknown_fields_are_told_of_each_time(api: Any, make_pod: Any) -> None:
    for name in ("a", "b", "c"):
        answer = await api("POST", PODS, make_pod(odd=1) | {"metadata": {"name": name}})
        assert answer.headers["warning"] == '299 - "unknown field \\"spec.odd\\""'
        strict = await api("POST", f"{PODS}?fieldValidation=Strict", make_pod(odd=1))
        assert strict.status == 400
        ignored = make_pod(odd=1) | {"metadata": {"name": f"{name}-ignored"}}
        assert "warning" not in (await api("POST", f"{PODS}?fieldValidation=Ignore", ignored)).headers


async def test_dry_runs_and_nodes_use_none(api: Any, make_pod: Any, long: Long) -> None:
    body = make_pod(nodeName="n1")
    for name in ("a", "b", "c"):
        await api.create(f"{PODS}?dryRun=All", make_pod() | {"metadata": {"name": name}})
    assert long.taken() == 3
    for name in ("a", "b"):
        await api.create(PODS, body | {"metadata": {"name": name}})
    answer = await api("POST", PODS, body | {"metadata": {"name": "c"}}, user="node")
    assert (answer.status, long.taken()) == (403, 3)
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in answer.message


Change = Callable[[Any], Awaitable[Any]]


def _creates(path: str, body: Any) -> Change:
    return lambda api: api.create(path, body)


def _patches(path: str, body: Any) -> Change:
    return lambda api: api.patch(path, body)


def _deletes(path: str) -> Change:
    return lambda api: api("DELETE", path)


async def _gets_a_policy(api: Any) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"]}
    expression = 'Object{metadata: Object.metadata{labels: {"policy": "yes"}}}'
    spec = {
        "matchConstraints": {"resourceRules": [rule]}, "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
    }  # fmt: skip
    await api.create(f"{POLICIES}/mutatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "p"}}
    await api.create(f"{POLICIES}/mutatingadmissionpolicybindings", binding)
    await api.settle()


async def _gets_a_quota(api: Any) -> None:
    path, hard = f"{BASE}/resourcequotas", {"pods": "0"}
    made = await api.create(path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api.put(f"{path}/q/status", {**made, "status": {"hard": hard, "used": {"pods": "0"}}})


async def _gets_a_validating_policy(api: Any) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.metadata.name.startsWith('a')", "message": "begin with a"}],
    }
    await api.create(f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}}
    await api.create(f"{POLICIES}/validatingadmissionpolicybindings", binding)
    await api.settle()


ENFORCE = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
WARN = {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}
PRIORITY = {"metadata": {"name": "high"}, "value": 7, "globalDefault": True}
LIMITS = {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}]}
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
CHANGES: dict[str, tuple[Change, str]] = {
    "the namespace is being emptied": (_deletes(BASE), "because it is being terminated"),
    "the namespace enforces a standard": (_patches(BASE, ENFORCE), "violates PodSecurity"),
    "the namespace warns of a standard": (_patches(BASE, WARN), "would violate PodSecurity"),
    "the account mounts no token": (
        _patches(f"{BASE}/serviceaccounts/default", {"automountServiceAccountToken": False}), ""),
    "the account has a pull secret": (
        _patches(f"{BASE}/serviceaccounts/default", {"imagePullSecrets": [{"name": "s"}]}), '"name":"s"'),
    "the account is gone": (_deletes(f"{BASE}/serviceaccounts/default"), "error looking up service account"),
    "a limit range comes": (
        _creates(f"{BASE}/limitranges", {"metadata": {"name": "l"}, "spec": LIMITS}), "LimitRanger plugin"),
    "a default priority comes": (_creates(CLASSES, PRIORITY), '"priority":7'),
    "a mutating policy comes": (_gets_a_policy, '"policy":"yes"'),
    "a validating policy comes": (_gets_a_validating_policy, "begin with a"),
    "a quota comes": (_gets_a_quota, "exceeded quota"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
async def test_what_admission_looks_at_has_changed(
    api: Any, make_pod: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The next pod comes to what one does that there is no mold for, as its body is laid out otherwise."""
    monkeypatch.setattr(service_account, "ATTEMPTS", 1)  # nobody waits for an account that is gone
    change, told = CHANGES[case]
    body = make_pod() | {"metadata": {"name": "a"}}
    before = [await api.create(PODS, body | {"metadata": {"name": name}}) for name in ("a", "b", "c")]
    await change(api)
    cast = await api("POST", PODS, body | {"metadata": {"name": "x"}})
    plain = await api("POST", PODS, json.dumps(body | {"metadata": {"name": "y"}}, indent=1).encode())
    assert cast.status == plain.status
    assert cast.headers.get("warning") == plain.headers.get("warning")
    if cast.status == 201:
        assert same_but_for_identity(cast.json, plain.json)
        assert not same_but_for_identity(cast.json, before[2]) or cast.headers["warning"]
    else:
        assert cast.message == plain.message.replace('"y"', '"x"')
    assert told in cast.raw.decode() + cast.headers.get("warning", "")


async def test_a_class_of_runtimes_changes(api: Any, make_pod: Any) -> None:
    path = "/apis/node.k8s.io/v1/runtimeclasses"
    await api.create(path, {"metadata": {"name": "r"}, "handler": "h"})
    body = make_pod(runtimeClassName="r")
    for name in ("a", "b", "c"):
        await api.create(PODS, body | {"metadata": {"name": name}})
    await api.patch(f"{path}/r", {"scheduling": {"nodeSelector": {"x": "y"}}})
    made = await api.create(PODS, body | {"metadata": {"name": "d"}})
    assert made["spec"]["nodeSelector"] == {"x": "y"}
    await api("DELETE", f"{path}/r")
    answer = await api("POST", PODS, body | {"metadata": {"name": "e"}})
    assert (answer.status, 'RuntimeClass "r" not found' in answer.message) == (403, True)


async def test_a_node_gets_other_labels(api: Any, make_pod: Any) -> None:
    zone = "topology.kubernetes.io/zone"
    await api.create("/api/v1/nodes", {"metadata": {"name": "n", "labels": {zone: "one"}}})
    body = make_pod(nodeName="n")
    for name in ("a", "b", "c"):
        await api.create(PODS, body | {"metadata": {"name": name}})
    await api.patch("/api/v1/nodes/n", {"metadata": {"labels": {zone: "two"}}})
    made = await api.create(PODS, body | {"metadata": {"name": "d"}})
    assert made["metadata"]["labels"] == {zone: "two"}


async def test_what_was_told_once_is_told_again(api: Any, make_pod: Any, long: Long) -> None:
    """Warnings and notes for the audit are not part of a mold: such pods leave none."""
    await api.patch(BASE, WARN)
    for name in ("a", "b", "c"):
        answer = await api("POST", PODS, make_pod() | {"metadata": {"name": name}})
        assert "would violate PodSecurity" in answer.headers["warning"]
    assert long.taken() == 3


async def test_what_nobody_audits_is_not_in_the_way(api: Any, make_pod: Any, long: Long) -> None:
    """A standard that is enforced is noted for audits, and here there are none."""
    await api.patch(BASE, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})
    for name in ("a", "b", "c"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    assert long.taken() == 2


async def test_a_quota_is_charged_for_each(api: Any, make_pod: Any, long: Long) -> None:
    path, hard = f"{BASE}/resourcequotas", {"pods": "4"}
    made = await api.create(path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api.put(f"{path}/q/status", {**made, "status": {"hard": hard, "used": {"pods": "0"}}})
    statuses = [
        (await api("POST", PODS, make_pod() | {"metadata": {"name": f"p{index}"}})).status
        for index in range(5)
    ]
    assert statuses == [201, 201, 201, 201, 403]
    assert (await api.get(f"{path}/q"))["status"]["used"] == {"pods": "4"}
    assert long.taken() == 2


async def test_a_mutating_webhook_sees_every_pod(api: Any, make_pod: Any, long: Long) -> None:
    """One that cannot be reached refuses each: none is let through by the mold of an earlier one."""
    for name in ("a", "b"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook = {
        "name": "one.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [rule],
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
    }  # fmt: skip
    await api.create(
        f"{POLICIES}/mutatingwebhookconfigurations", {"metadata": {"name": "c"}, "webhooks": [hook]}
    )
    await api.settle()
    answer = await api("POST", PODS, make_pod() | {"metadata": {"name": "c"}})
    assert (answer.status, long.taken()) == (500, 3)
    await api("DELETE", f"{POLICIES}/mutatingwebhookconfigurations/c")
    await api.settle()
    await api.create(PODS, make_pod() | {"metadata": {"name": "c"}})
    assert long.taken() == 0


async def test_a_pod_that_is_like_no_other_leaves_nothing(api: Any, make_pod: Any) -> None:
    molds = api.server.backend.molds
    for index in range(3):
        await api.create(PODS, make_pod(f"p{index}"))  # a label of each has the name, too
    assert not molds._molds._young
    for index in range(3):
        await api.create(PODS, make_pod() | {"metadata": {"name": f"q{index}"}})
    assert len(molds._molds._young) == 1


async def test_where_others_write_to_the_store_there_are_none(
    api: Any, make_pod: Any, long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could tell at once whether they still hold."""
    monkeypatch.setattr(api.server.objects._feed, "alone", False)
    for name in ("a", "b", "c"):
        await api.create(PODS, make_pod() | {"metadata": {"name": name}})
    assert long.taken() == 3
    assert not api.server.backend.molds._molds._young
