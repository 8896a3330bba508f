"""Plugins that are off until they are enabled: what each adds, what each refuses, and in which words."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apiserver.admission.chain import AdmissionChain
from tiphys.apiserver.admission.pull_images import AlwaysPullImages

BASE = "/api/v1/namespaces/default"
PODS = f"{BASE}/pods"
Serving = Callable[..., AbstractAsyncContextManager[Any]]
_HOST = "kubernetes.io/hostname"
_NODE_SELECTOR = "scheduler.alpha.kubernetes.io/node-selector"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/defaultTolerations"
_ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"


def pod(name: str = "p", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name}
    if annotations:
        meta["annotations"] = annotations
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "nginx:1"}], **spec}}


def away(key: str) -> dict[str, Any]:
    term = {"topologyKey": key, "labelSelector": {}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


def tolerate(key: str, effect: str = "", **more: Any) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", **({"effect": effect} if effect else {}), **more}


@dataclass(frozen=True)
class Case:
    """One plugin, told something, and one write: what is said against it, or what it has become."""

    plugin: str
    body: dict[str, Any]
    path: str = PODS
    told: dict[str, Any] | None = None
    namespace: dict[str, str] = field(default_factory=dict)
    """Annotations of the namespace."""
    refused: str = ""
    code: int = 403
    becomes: tuple[str, Any] | None = None
    """A path of keys, and the value that stands there afterwards."""
    anyway: bool = False
    """It would be so without the plugin as well: that it leaves something alone is the point."""


SELECTORS = {
    "podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "zone=a", "default": "zone=a,disk=ssd"}
}
GPU = {"resources": {"limits": {"example.com/gpu": "1", "cpu": "1", "memory": "1Mi"}}}
GPU_POD = pod(containers=[{"name": "c", "image": "nginx:1", **GPU}])
TOLERATED = {
    "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
    "kind": "Configuration",
    "default": [tolerate("cluster")],
    "whitelist": [tolerate("cluster"), tolerate("node.kubernetes.io/memory-pressure")],
}
USUAL = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
PATHS = "/api/v1/namespaces/fresh/configmaps"

CASES: dict[str, Case] = {
    "images are pulled each time": Case(
        "AlwaysPullImages", pod(), becomes=("spec.containers.0.imagePullPolicy", "Always")
    ),
    "those of volumes too": Case(
        "AlwaysPullImages",
        pod(volumes=[{"name": "v", "image": {"reference": "a:1", "pullPolicy": "Never"}}]),
        becomes=("spec.volumes.0.image.pullPolicy", "Always"),
    ),
    "everything is admitted": Case("AlwaysAdmit", pod(), becomes=("metadata.name", "p"), anyway=True),
    "everything is denied": Case(
        "AlwaysDeny", pod(), refused='pods "p" is forbidden: admission control is denying all modifications'
    ),
    "pods keep others away from their node": Case(
        "LimitPodHardAntiAffinityTopology", pod(affinity=away(_HOST)), becomes=("metadata.name", "p"), anyway=True
    ),
    "but not from a zone": Case(
        "LimitPodHardAntiAffinityTopology", pod(affinity=away("zone")),
        refused='pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone '
        "but only key kubernetes.io/hostname is allowed",
    ),
    "a namespace is made": Case(
        "NamespaceAutoProvision", {"metadata": {"name": "m"}}, PATHS, becomes=("metadata.namespace", "fresh")
    ),
    "unless its name is none": Case(
        "NamespaceAutoProvision", {"metadata": {"name": "m"}}, "/api/v1/namespaces/Fresh/configmaps",
        refused='configmaps "m" is forbidden: Namespace "Fresh" is invalid: metadata.name: Invalid value: "Fresh"',
    ),
    "a service has addresses of its own": Case(
        "DenyServiceExternalIPs", service(externalIPs=["1.2.3.4"]), f"{BASE}/services",
        refused='services "s" is forbidden: Use of external IPs is denied by admission control',
    ),
    "or none": Case("DenyServiceExternalIPs", service(), f"{BASE}/services", becomes=("metadata.name", "s"), anyway=True),
    "a device's nodes are tolerated": Case(
        "ExtendedResourceToleration", GPU_POD,
        becomes=("spec.tolerations.2", {**tolerate("example.com/gpu"), "effect": "NoSchedule"}),
    ),
    "once": Case(
        "ExtendedResourceToleration",
        {**GPU_POD, "spec": {**GPU_POD["spec"], "tolerations": [tolerate("example.com/gpu", "NoSchedule")]}},
        becomes=("spec.tolerations.0", tolerate("example.com/gpu", "NoSchedule")), anyway=True,
    ),
    "the cluster's selector": Case(
        "PodNodeSelector", pod(), told=SELECTORS, becomes=("spec.nodeSelector", {"zone": "a"})
    ),
    "beside the pod's": Case(
        "PodNodeSelector", pod(nodeSelector={"disk": "ssd"}), told=SELECTORS,
        becomes=("spec.nodeSelector", {"zone": "a", "disk": "ssd"}),
    ),
    "the namespace's goes first": Case(
        "PodNodeSelector", pod(), told=SELECTORS, namespace={_NODE_SELECTOR: "disk = ssd"},
        becomes=("spec.nodeSelector", {"disk": "ssd"}),
    ),
    "a pod against it": Case(
        "PodNodeSelector", pod(nodeSelector={"zone": "b"}), told=SELECTORS,
        refused='pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector',
    ),
    "a pod beyond what is allowed": Case(
        "PodNodeSelector", pod(nodeSelector={"x": "y"}), told=SELECTORS,
        refused='pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist',
    ),
    "a selector that is none": Case(
        "PodNodeSelector", pod(), namespace={_NODE_SELECTOR: "a=b,c"}, code=500,
        refused="invalid selector: [a=b c]",
    ),
    "the cluster's tolerations": Case(
        "PodTolerationRestriction", pod(tolerations=[]),
        told={**TOLERATED, "whitelist": []}, becomes=("spec.tolerations.2", tolerate("cluster")),
    ),
    "the namespace's tolerations": Case(
        "PodTolerationRestriction", pod(), told={**TOLERATED, "whitelist": []},
        namespace={_TOLERATIONS: '[{"key": "x", "operator": "Exists"}]'},
        becomes=("spec.tolerations.2", tolerate("x")),
    ),
    "an empty annotation means none": Case(
        "PodTolerationRestriction", pod(), told={**TOLERATED, "whitelist": []}, namespace={_TOLERATIONS: ""},
        becomes=("spec.tolerations", [tolerate(key, "NoExecute", tolerationSeconds=300) for key in USUAL]), anyway=True,
    ),
    "pods with promises bear a node short of memory": Case(
        "PodTolerationRestriction", GPU_POD, namespace={_TOLERATIONS: ""},
        becomes=("spec.tolerations.2", tolerate("node.kubernetes.io/memory-pressure", "NoSchedule")),
    ),
    "tolerations beyond those of the cluster": Case(
        "PodTolerationRestriction", pod(tolerations=[tolerate("mine")]), told=TOLERATED, code=500,
        refused="pod tolerations (possibly merged with namespace default tolerations) conflict with its "
        "cluster whitelist",
    ),
    "tolerations beyond those of the namespace": Case(
        "PodTolerationRestriction", pod(), namespace={_ALLOWED: '[{"key": "x"}]'}, code=500,
        refused="pod tolerations (possibly merged with namespace default tolerations) conflict with its "
        "namespace whitelist",
    ),
}  # fmt: skip


def at(obj: Any, path: str) -> Any:
    for key in path.split("."):
        obj = obj[int(key)] if key.isdigit() else obj[key]
    return obj


def written(tmp_path: Path, **told: Any) -> Path:
    """Write an AdmissionConfiguration."""
    plugins = [{"name": name, "configuration": said} for name, said in told.items()]
    path = tmp_path / "admission.yaml"
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
    path.write_text(yaml.safe_dump({**head, "plugins": plugins}))
    return path


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_plugins(serving: Serving, tmp_path: Path, case: Case) -> None:
    options: dict[str, Any] = {"enabled_admission": (case.plugin,)}
    if case.told is not None:
        options["admission_config"] = written(tmp_path, **{case.plugin: case.told})
    async with serving(disabled_admission=("ServiceAccount",), **options) as api:
        if case.namespace:
            await api.patch("/api/v1/namespaces/default", {"metadata": {"annotations": case.namespace}})
        answer = await api("POST", case.path, case.body)
        if case.becomes is None:
            assert (answer.status, answer.message[: len(case.refused)]) == (case.code, case.refused)
        else:
            assert answer.status == 201, answer.raw
            assert at(answer.json, case.becomes[0]) == case.becomes[1]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_they_are_off_by_themselves(serving: Serving, case: Case) -> None:
    async with serving(disabled_admission=("ServiceAccount",)) as api:
        if case.namespace:
            await api.patch("/api/v1/namespaces/default", {"metadata": {"annotations": case.namespace}})
        answer = await api("POST", case.path, case.body)
        assert answer.status == (404 if case.plugin == "NamespaceAutoProvision" else 201), answer.raw
        if case.becomes is not None and not case.anyway and answer.status == 201:
            assert shown(answer.json, case.becomes[0]) != case.becomes[1]


def shown(obj: Any, path: str) -> Any:
    try:
        return at(obj, path)
    except (KeyError, IndexError):
        return None


async def test_an_update_without_new_images_keeps_its_policies(serving: Serving) -> None:
    async with serving(disabled_admission=("ServiceAccount",)) as api:
        made = await api.create(PODS, pod())
        api.server.backend.admission = AdmissionChain(enabled=("AlwaysPullImages",))
        made["metadata"]["labels"] = {"a": "b"}
        changed = await api.put(f"{PODS}/p", made)
        assert changed["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


async def test_policies_that_were_set_back_are_a_fault_each(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlwaysPullImages, "ADMITS", frozenset())
    options = {"enabled_admission": ("AlwaysPullImages",), "disabled_admission": ("ServiceAccount",)}
    async with serving(**options) as api:
        one = {"image": "nginx:1", "imagePullPolicy": "Never"}
        refused = (
            'pods "p" is forbidden: spec.containers[{}].imagePullPolicy: '
            'Unsupported value: "Never": supported values: "Always"'
        )
        answer = await api("POST", PODS, pod(containers=[{"name": "a", **one}]))
        assert (answer.status, answer.message) == (500, refused.format(0))
        answer = await api("POST", PODS, pod(containers=[{"name": "a", **one}, {"name": "b", **one}]))
        assert (answer.status, answer.message) == (500, f"[{refused.format(0)}, {refused.format(1)}]")


async def test_writes_need_their_namespace(serving: Serving) -> None:
    options = {"enabled_admission": ("NamespaceExists",), "disabled_admission": ("NamespaceLifecycle",)}
    async with serving(**options) as api:
        body = {"metadata": {"name": "m"}}
        answer = await api("POST", "/api/v1/namespaces/none/configmaps", body)
        assert (answer.status, answer.message) == (404, 'namespaces "none" not found')
        await api.create(f"{BASE}/configmaps", body)
        await api.create("/api/v1/nodes", body)


async def test_nothing_changes_where_there_is_no_namespace(serving: Serving) -> None:
    async with serving() as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": "lost"}})
        path = "/api/v1/namespaces/lost/configmaps"
        made = await api.create(path, {"metadata": {"name": "m"}})
        backend = api.server.backend
        row = backend.table.by_path("", "v1", "namespaces")
        found = await backend.store.get(row, "", "lost")
        await backend.store.delete(row, "", "lost", found.revision)
        answer = await api("PUT", f"{path}/m", {**made, "data": {"a": "b"}})
        assert (answer.status, answer.message) == (404, 'namespaces "lost" not found')
        assert (await api("DELETE", f"{path}/m")).status == 200


async def test_what_is_in_a_namespace_that_goes_can_be_changed(serving: Serving) -> None:
    async with serving() as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": "going"}})
        path = "/api/v1/namespaces/going/configmaps"
        made = await api.create(path, {"metadata": {"name": "m"}})
        await api("DELETE", "/api/v1/namespaces/going")
        assert (await api("POST", path, {"metadata": {"name": "n"}})).status == 403
        assert (await api.put(f"{path}/m", {**made, "data": {"a": "b"}}))["data"] == {"a": "b"}


async def test_a_dry_run_makes_no_namespace(serving: Serving) -> None:
    async with serving(enabled_admission=("NamespaceAutoProvision",)) as api:
        assert (await api("POST", f"{PATHS}?dryRun=All", {"metadata": {"name": "m"}})).status == 404
        await api.create(PATHS, {"metadata": {"name": "m"}})
        made = await api.get("/api/v1/namespaces/fresh")
        assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "fresh"}
        assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


LIMITS: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    # type -> which events (namespace, object) pass until one is refused, and the key of the one refused
    "Server": ("Server", [("default", "a"), ("kube-system", "b")], ""),
    "Namespace": ("Namespace", [("default", "a"), ("kube-system", "b"), ("default", "c")], "default"),
    "User": ("User", [("default", "a"), ("kube-system", "b")], "admin"),
    "SourceAndObject": (
        "SourceAndObject", [("default", "a"), ("default", "b"), ("default", "a")], "kubeletn1Poddefaultau-av1"
    ),
}  # fmt: skip


def event(number: int, namespace: str, about: str) -> dict[str, Any]:
    regarding = {
        "kind": "Pod", "namespace": namespace, "name": about, "uid": f"u-{about}", "apiVersion": "v1",
    }  # fmt: skip
    source = {"component": "kubelet", "host": "n1"}
    return {
        "metadata": {"name": f"e{number}"},
        "involvedObject": regarding,
        "source": source,
        "type": "Normal",
    }


@pytest.mark.parametrize(("kind", "events", "key"), LIMITS.values(), ids=LIMITS)
async def test_events_are_limited(
    serving: Serving, tmp_path: Path, kind: str, events: list[tuple[str, str]], key: str
) -> None:
    said = {
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
        "kind": "Configuration",
        "limits": [{"type": kind, "qps": 1, "burst": 1}],
    }
    path = written(tmp_path, EventRateLimit=said)
    async with serving(enabled_admission=("EventRateLimit",), admission_config=path) as api:
        for number, (namespace, about) in enumerate(events):
            body = event(number, namespace, about)
            answer = await api("POST", f"/api/v1/namespaces/{namespace}/events", body)
            assert answer.status == (429 if number == len(events) - 1 else 201), answer.raw
        assert answer.message == f"Too many requests: limit reached on type {kind} for key {key}"
        assert "retry-after" not in answer.headers
        assert "details" not in answer.json
        await api.create(f"/api/v1/namespaces/{namespace}/events?dryRun=All", body)  # is never limited
        api.clock.advance(1.0)
        await api.create(f"/api/v1/namespaces/{namespace}/events", body)


async def grant(api: Any, name: str, *rules: dict[str, Any]) -> None:
    base = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(f"{base}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]
    binding = {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects}
    await api.create(f"{base}/clusterrolebindings", binding)
    await api.settle()


def rule(group: str, resource: str, *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def owned(block: bool, kind: str = "Deployment") -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "d", "uid": "1", "blockOwnerDeletion": block}
    return {"metadata": {"name": "m", "ownerReferences": [owner]}}


OWNERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str]] = {
    "without the right to delete": (
        owned(block=False), [],
        "cannot set an ownerRef on a resource you can't delete: , <nil>",
    ),
    "with it": (owned(block=False), [rule("", "configmaps", "delete")], ""),
    "an owner that is held up": (
        owned(block=True), [rule("", "configmaps", "delete")],
        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: "
        ", <nil>",
    ),
    "with the right to do so": (
        owned(block=True),
        [rule("", "configmaps", "delete"), rule("apps", "deployments/finalizers", "update")],
        "",
    ),
    "an owner of no kind, with the right to do so of all": (
        owned(block=True, kind="None"),
        [rule("", "configmaps", "delete"), rule("*", "*/finalizers", "update")],
        "",
    ),
    "an owner of no kind": (
        owned(block=True, kind="None"), [rule("", "configmaps", "delete")],
        "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 "
        'Kind None: no matches for kind "None" in version "apps/v1"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "rules", "why"), OWNERS.values(), ids=OWNERS)
async def test_owners(serving: Serving, body: dict[str, Any], rules: list[dict[str, Any]], why: str) -> None:
    async with serving(enabled_admission=("OwnerReferencesPermissionEnforcement",)) as api:
        await grant(api, "x", rule("", "configmaps", "create", "update"), *rules)
        answer = await api("POST", f"{BASE}/configmaps", body, user="alice")
        if why:
            assert answer.message == f'configmaps "m" is forbidden: {why}'
        else:
            assert answer.status == 201, answer.raw
            again = await api(
                "PUT", f"{BASE}/configmaps/m", {**answer.json, "data": {"a": "b"}}, user="alice"
            )
            assert again.status == 200
