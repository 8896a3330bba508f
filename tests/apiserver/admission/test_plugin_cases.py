"""Plugins that are on by themselves, case by case: limits, service accounts, runtime classes, namespaces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.apiserver.admission import service_account

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


PODS = "/api/v1/namespaces/default/pods"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
LIMITS = "/api/v1/namespaces/default/limitranges"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


def asks(cpu: str = "", limit: str = "", **more: Any) -> dict[str, Any]:
    """A container's resources."""
    found = {"requests": {"cpu": cpu} if cpu else {}, "limits": {"cpu": limit} if limit else {}}
    return {"resources": {key: value for key, value in found.items() if value}, **more}


def pod(*containers: dict[str, Any], init: Any = (), **spec: Any) -> dict[str, Any]:
    def named(given: Any, prefix: str) -> list[dict[str, Any]]:
        return [{"name": f"{prefix}{number}", "image": "i", **one} for number, one in enumerate(given)]

    found = {"containers": named(containers or ({},), "c"), "initContainers": named(init, "i")}
    return {"metadata": {"name": "p"}, "spec": {**found, **spec}}


async def limit(api: Any, kind: str, **limits: Any) -> None:
    spec = {"limits": [{"type": kind, **limits}]}
    await api.create(LIMITS, {"metadata": {"name": "l"}, "spec": spec})


SIDECAR = asks("2", "2", restartPolicy="Always")
RATIO = "cpu max limit to request ratio per Container is 2, but"
FAULTS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    # type, limits, pod -> what is wrong with it, empty: nothing
    "containers first": (
        "Container", {"max": {"cpu": "1"}}, pod(asks("1", "2"), init=[asks("1", "3")]),
        "[maximum cpu usage per Container is 1, but limit is 2, "
        "maximum cpu usage per Container is 1, but limit is 3]",
    ),
    "ratio": ("Container", {"maxLimitRequestRatio": {"cpu": "2"}}, pod(asks("1", "3")),
              f"{RATIO} provided ratio is 3.000000"),
    "ratio of nothing": ("Container", {"maxLimitRequestRatio": {"cpu": "2"}}, pod(asks("0", "3")),
                         f"{RATIO} no request is specified or request is 0"),
    "ratio to nothing": ("Container", {"maxLimitRequestRatio": {"cpu": "2"}}, pod(asks("1")),
                         f"{RATIO} no limit is specified or limit is 0"),
    "ratio that will do": ("Container", {"maxLimitRequestRatio": {"cpu": "1500m"}}, pod(asks("2", "3")), ""),
    "sidecars count": ("Pod", {"max": {"cpu": "3"}}, pod(asks("2", "2"), init=[SIDECAR]),
                       "maximum cpu usage per Pod is 3, but limit is 4"),
    "the greatest step counts": ("Pod", {"max": {"cpu": "3"}}, pod(asks("1", "1"), init=[asks("5", "5")]),
                                 "maximum cpu usage per Pod is 3, but limit is 5"),
    "as they are written": (
        "Pod", {"max": {"memory": "1Gi"}},
        pod(*[{"resources": {"limits": {"memory": "1Gi"}}}] * 2),
        "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
    ),
    "what the pod says as a whole": (
        "Pod", {"max": {"cpu": "3"}},
        pod(asks("1"), resources={"requests": {"cpu": "4"}, "limits": {"cpu": "4"}}),
        "maximum cpu usage per Pod is 3, but limit is 4",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "limits", "body", "why"), FAULTS.values(), ids=FAULTS)
async def test_limits(api: Any, kind: str, limits: Any, body: Any, why: str) -> None:
    await limit(api, kind, **limits)
    answer = await api("POST", PODS, body)
    if why:
        assert (answer.status, answer.message) == (403, f'pods "p" is forbidden: {why}')
    else:
        assert answer.status == 201, answer.raw


async def test_the_first_list_of_limits_that_is_broken_says_so(api: Any) -> None:
    limits = [{"type": "Pod", "max": {"cpu": "3"}}, {"type": "Container", "max": {"cpu": "1"}}]
    for name in ("l", "m"):
        await api.create(LIMITS, {"metadata": {"name": name}, "spec": {"limits": limits}})
    answer = await api("POST", PODS, pod(asks("2", "2"), asks("2", "2")))
    assert answer.message == (
        'pods "p" is forbidden: [maximum cpu usage per Pod is 3, but limit is 4, '
        "maximum cpu usage per Container is 1, but limit is 2]"
    )


async def test_limits_note_what_they_set(api: Any) -> None:
    await limit(api, "Container", default={"cpu": "2", "memory": "2Gi"}, defaultRequest={"cpu": "1"})
    made = await api.create(PODS, pod(asks(limit="2"), {}, init=[{}]))
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container c0; memory limit for container c0; "
        "cpu, memory request for container c1; cpu, memory limit for container c1; "
        "cpu, memory request for init container i0; cpu, memory limit for init container i0"
    )


def claim(name: str, **requests: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi", **requests}}}
    return {"metadata": {"name": name}, "spec": spec}


async def test_limits_of_claims(api: Any) -> None:
    bounds = {"min": {"storage": "1Gi"}, "max": {"storage": "4Gi"}}
    await api.create(CLAIMS, claim("going"))
    await api("DELETE", f"{CLAIMS}/going")  # its finalizer holds it
    await limit(api, "PersistentVolumeClaim", **bounds)
    answer = await api("POST", CLAIMS, claim("a"))
    assert answer.message == (
        'persistentvolumeclaims "a" is forbidden: maximum storage usage per PersistentVolumeClaim is 4Gi, '
        "but request is 5Gi"
    )
    label = {"metadata": {"labels": {"a": "b"}}}
    assert (await api.patch(f"{CLAIMS}/going", label)).status == 200  # what goes is let be


def secret_env(name: str) -> dict[str, Any]:
    return {"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}


def secret_from(name: str) -> dict[str, Any]:
    return {"envFrom": [{"secretRef": {"name": name}}]}


def volume(name: str) -> dict[str, Any]:
    return {"name": "v", "secret": {"secretName": name}}


NOT = 'referencing secret.secretName="b" is not allowed because service account strict does not reference '
SECRETS: dict[str, tuple[dict[str, Any], str]] = {
    # pod of the account ``strict``, which names the Secret ``a`` and pulls with ``r`` -> why not
    "named": (pod(secret_env("a"), init=[secret_from("a")], volumes=[volume("a")],
                  imagePullSecrets=[{"name": "r"}]), ""),
    "volume": (pod(volumes=[volume("b")]), 'volume with secret.secretName="b" is not allowed because service '
               "account strict does not reference that secret"),
    "environment": (pod(secret_env("b")), f"container c0 with envVar E {NOT}that secret"),
    "whole environment": (pod(secret_from("b")), f"container c0 with envFrom {NOT}that secret"),
    "of a step": (pod(init=[secret_env("b")]), f"init container i0 with envVar E {NOT}that secret"),
    "all, of a step": (pod(init=[secret_from("b")]), f"init container i0 with envFrom {NOT}that secret"),
    "pulls": (pod(imagePullSecrets=[{"name": "r"}, {"name": "a"}]), 'imagePullSecrets[1].name="a" is not '
              "allowed because service account strict does not reference that imagePullSecret"),
}  # fmt: skip


async def strict(api: Any, said: str = "true") -> None:
    meta = {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": said}}
    lists = {"secrets": [{"name": "a"}], "imagePullSecrets": [{"name": "r"}]}
    await api.create(ACCOUNTS, {"metadata": meta, **lists})


@pytest.mark.parametrize(("body", "why"), SECRETS.values(), ids=SECRETS)
async def test_secrets_that_an_account_names(api: Any, body: Any, why: str) -> None:
    await strict(api)
    body = {**body, "spec": {**body["spec"], "serviceAccountName": "strict"}}
    answer = await api("POST", PODS, body)
    if why:
        assert (answer.status, answer.message) == (403, f'pods "p" is forbidden: {why}')
    else:
        assert answer.status == 201, answer.raw


async def test_secrets_of_debugging_containers(api: Any) -> None:
    await strict(api, "T")
    await api.create(PODS, pod(serviceAccountName="strict"))
    path = f"{PODS}/p/ephemeralcontainers"
    for name, code in (("a", 200), ("b", 500)):
        joins = {"name": f"e{name}", "image": "i", **secret_env(name)}
        answer = await api.patch(path, {"spec": {"ephemeralContainers": [joins]}}, "strategic")
        assert answer.status == code, answer.raw
    assert answer.message == f"ephemeral container eb with envVar E {NOT}that secret"


async def test_lists_that_nobody_enforces(api: Any) -> None:
    await strict(api, "yes")
    await api.create(PODS, pod(secret_env("b"), serviceAccountName="strict"))


MIRROR = {"kubernetes.io/config.mirror": "x"}
TOKEN = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
MIRRORS: dict[str, tuple[dict[str, Any], str]] = {
    "account": (pod(serviceAccountName="a"), "a mirror pod may not reference service accounts"),
    "environment": (pod(secret_env("a")), "a mirror pod may not reference secrets"),
    "pull": (pod(imagePullSecrets=[{"name": "r"}]), "a mirror pod may not reference secrets"),
    "token": (pod(volumes=[TOKEN]), "a mirror pod may not use ServiceAccountToken volume projections"),
    "nothing": (pod(), ""),
}


@pytest.mark.parametrize(("body", "why"), MIRRORS.values(), ids=MIRRORS)
async def test_mirror_pods(api: Any, body: Any, why: str) -> None:
    spec = {**body["spec"], "nodeName": "n"}
    answer = await api("POST", PODS, {"metadata": {"name": "p", "annotations": MIRROR}, "spec": spec})
    if why:
        assert (answer.status, answer.message) == (403, f'pods "p" is forbidden: {why}')
    else:
        assert answer.status == 201, answer.raw


OTHER = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
NONE = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
OVERHEADS: dict[str, tuple[str, dict[str, str], str]] = {
    # the class, the pod's overhead -> what is wrong
    "the same": ("dear", {"cpu": "1"}, ""),
    "another": ("dear", {"cpu": "2"}, OTHER),
    "of a class without": ("plain", {"cpu": "1"}, NONE),
    "without a class": ("", {"cpu": "1"}, NONE),
    "none": ("plain", {}, ""),
}


@pytest.mark.parametrize(("name", "overhead", "why"), OVERHEADS.values(), ids=OVERHEADS)
async def test_overheads(api: Any, name: str, overhead: Any, why: str) -> None:
    await api.create(CLASSES, {"metadata": {"name": "plain"}, "handler": "h"})
    dear = {"metadata": {"name": "dear"}, "handler": "h", "overhead": {"podFixed": {"cpu": "1"}}}
    await api.create(CLASSES, dear)
    spec = {**({"runtimeClassName": name} if name else {}), **({"overhead": overhead} if overhead else {})}
    answer = await api("POST", PODS, pod(**spec))
    if why:
        assert (answer.status, answer.message) == (403, f'pods "p" is forbidden: {why}')
    else:
        assert answer.status == 201, answer.raw


async def test_tolerations_of_a_class_that_others_cover(api: Any) -> None:
    wide = {"key": "a", "operator": "Exists"}
    narrow = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}
    own = {"key": "z", "operator": "Exists", "effect": "NoSchedule"}
    scheduling = {"tolerations": [wide, own]}
    await api.create(CLASSES, {"metadata": {"name": "c"}, "handler": "h", "scheduling": scheduling})
    made = await api.create(PODS, pod(runtimeClassName="c", tolerations=[narrow]))
    assert [one for one in made["spec"]["tolerations"] if one["key"] in ("a", "z")] == [wide, own]


async def test_nothing_new_in_a_namespace_that_ends(api: Any) -> None:
    namespaces = "/api/v1/namespaces"
    await api.create(namespaces, {"metadata": {"name": "n"}})
    await api("DELETE", f"{namespaces}/n")
    about = {"kind": "Pod", "name": "p", "namespace": "n"}
    event = {"metadata": {"generateName": "e-"}, "involvedObject": about}
    answer = await api("POST", f"{namespaces}/n/events", event)
    assert (answer.status, answer.message) == (
        403,
        'events "e-" is forbidden: unable to create new content in namespace n because it is being '
        "terminated",
    )
    assert answer.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    review = {"spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    for namespace in ("n", "nowhere"):
        body = {**review, "metadata": {"namespace": namespace}}
        body["spec"]["resourceAttributes"]["namespace"] = namespace
        path = f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
        assert (await api("POST", path, body)).status == 201


async def test_the_account_of_a_new_namespace_is_waited_for(api: Any) -> None:
    base = "/api/v1/namespaces"
    await api.create(base, {"metadata": {"name": "n"}})
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(api("POST", f"{base}/n/pods", pod()))
        await asyncio.sleep(0)
        await api.create(f"{base}/n/serviceaccounts", {"metadata": {"name": "default"}})
    assert asked.result().status == 201


async def test_accounts_that_never_come(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_account, "ATTEMPTS", 1)
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    for name in ("default", "other"):
        answer = await api("POST", "/api/v1/namespaces/n/pods", pod(serviceAccountName=name))
        assert answer.message == (
            f'pods "p" is forbidden: error looking up service account n/{name}: serviceaccount "{name}" not '
            "found"
        )
