"""The official Python client against a cluster: typed calls, watches, pages, dry runs, server-side apply."""

# ruff: noqa: E501

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

# By name: the client takes a second to import its models, and the first test that asks for one pays.
# Not events.k8s.io: events made through the core group have no eventTime, which this client insists on.
CLASSES = (
    "AdmissionregistrationV1Api", "ApiextensionsV1Api", "ApiregistrationV1Api", "AppsV1Api",
    "AutoscalingV1Api", "AutoscalingV2Api", "BatchV1Api", "CertificatesV1Api",
    "CoordinationV1Api", "CoreV1Api", "DiscoveryV1Api",
    "FlowcontrolApiserverV1Api", "NetworkingV1Api", "NodeV1Api", "PolicyV1Api",
    "RbacAuthorizationV1Api", "SchedulingV1Api", "StorageV1Api",
)  # fmt: skip


BY_VERSION = {
    "v1": "CoreV1Api", "admissionregistration.k8s.io/v1": "AdmissionregistrationV1Api",
    "apiextensions.k8s.io/v1": "ApiextensionsV1Api", "apiregistration.k8s.io/v1": "ApiregistrationV1Api",
    "apps/v1": "AppsV1Api", "autoscaling/v1": "AutoscalingV1Api",
    "autoscaling/v2": "AutoscalingV2Api", "batch/v1": "BatchV1Api",
    "certificates.k8s.io/v1": "CertificatesV1Api", "coordination.k8s.io/v1": "CoordinationV1Api",
    "discovery.k8s.io/v1": "DiscoveryV1Api", "events.k8s.io/v1": "EventsV1Api",
    "flowcontrol.apiserver.k8s.io/v1": "FlowcontrolApiserverV1Api",
    "networking.k8s.io/v1": "NetworkingV1Api", "node.k8s.io/v1": "NodeV1Api",
    "policy/v1": "PolicyV1Api", "rbac.authorization.k8s.io/v1": "RbacAuthorizationV1Api",
    "resource.k8s.io/v1": "ResourceV1Api", "scheduling.k8s.io/v1": "SchedulingV1Api",
    "storage.k8s.io/v1": "StorageV1Api",
}  # fmt: skip
TYPED = [
    f"{one['apiVersion']} {one['kind']}"
    for one in yaml.load_all((Path(__file__).parent / "manifests.yaml").read_text(), yaml.CSafeLoader)
    if one["apiVersion"] in BY_VERSION
]
CONTROLLED = (
    "Pod", "Job", "Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "ReplicationController",
    "ServiceCIDR",
)  # fmt: skip
"""Controllers write to these at the same time: they are replaced whatever their version is."""
NEWER = {"list_cluster_trust_bundle", "list_pod_certificate_request_for_all_namespaces"}
"""Calls of a client that is newer than the cluster."""


@pytest.fixture(scope="module")
def connection(api: Any) -> Any:
    with config.new_client_from_config(config_file=api.kubeconfig) as made:
        yield made


@pytest.fixture
def core(connection: Any) -> Any:
    return client.CoreV1Api(connection)


def config_map(name: str, **data: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_list(connection: Any, kind: str) -> None:
    group = getattr(client, kind)(connection)
    names = [
        name for name in dir(type(group))
        if name.startswith("list_") and not name.endswith("_with_http_info") and not name.startswith("list_namespaced_")
    ]  # fmt: skip
    assert names
    for name in set(names) - NEWER:
        listed = getattr(group, name)(limit=5)
        assert listed.kind.endswith("List")
        assert listed.metadata.resource_version or name == "list_component_status", "nothing of it is stored"


def placed(core: Any, name: str, namespace: str) -> None:
    """Wait until a pod has its node: a copy from before could not be written back."""
    chosen = f"metadata.name={name},spec.nodeName!="
    stream = watch.Watch().stream(
        core.list_namespaced_pod, namespace, field_selector=chosen, timeout_seconds=30
    )
    assert next(stream)["type"] == "ADDED"


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPED)
def test_typed_calls(connection: Any, namespace: str, manifests: Any, kind: str) -> None:
    version, _, word = kind.partition(" ")
    body = next(one for one in manifests(namespace) if (one["apiVersion"], one["kind"]) == (version, word))
    group = getattr(client, BY_VERSION[version])(connection)
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", word).lower()
    namespaced = hasattr(group, f"create_namespaced_{snake}")
    if word == "ServiceCIDR":  # another test's goes only ten seconds after its deletion
        body["metadata"]["name"] = "typed"
    name, where = body["metadata"]["name"], (namespace,) if namespaced else ()
    body["metadata"].pop("namespace", None)

    def call(verb: str, *words: Any, **options: Any) -> Any:
        middle = "namespaced_" if namespaced else ""
        return getattr(group, f"{verb}_{middle}{snake}")(*words, **options)

    assert call("create", *where, body, dry_run="All").metadata.uid
    made = call("create", *where, body)
    try:
        read = call("read", name, *where)
        assert (read.metadata.uid, read.kind) == (made.metadata.uid, word)
        if word == "Pod":
            placed(group, name, namespace)
        patched = call("patch", name, *where, {"metadata": {"labels": {"typed": "yes"}}})
        assert patched.metadata.labels["typed"] == "yes"
        patched.metadata.labels["typed"] = "again"
        if word in CONTROLLED:
            patched.metadata.resource_version = None
        selected = call("list", *where, label_selector="typed=yes").items
        assert [one.metadata.name for one in selected] == [name]
        if word not in (
            "Node",
            "PersistentVolumeClaim",
            "PodDisruptionBudget",
        ):  # others write to these at the same time
            assert call("replace", name, *where, patched).metadata.labels["typed"] == "again"
    finally:
        call("delete", name, *where)


def test_deployment(connection: Any, namespace: str) -> None:
    apps = client.AppsV1Api(connection)
    labels = {"app": "web"}
    pod = client.V1PodSpec(containers=[client.V1Container(name="web", image="nginx:1")])
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pod)
    spec = client.V1DeploymentSpec(
        replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    assert (
        apps.create_namespaced_deployment(namespace, body, dry_run="All").spec.strategy.type
        == "RollingUpdate"
    )
    with pytest.raises(ApiException) as caught:
        apps.read_namespaced_deployment("web", namespace)
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")
    assert apps.create_namespaced_deployment(namespace, body).metadata.generation == 1
    patched = apps.patch_namespaced_deployment("web", namespace, {"spec": {"paused": True}})
    assert (patched.spec.paused, patched.metadata.generation) == (True, 2)
    scaled = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 0}})
    assert (scaled.kind, scaled.status.selector) == ("Scale", "app=web")
    assert apps.delete_namespaced_deployment("web", namespace, dry_run="All")["status"] == "Success"
    assert (
        apps.read_namespaced_deployment("web", namespace).spec.template.spec.containers[0].image == "nginx:1"
    )
    assert apps.delete_namespaced_deployment("web", namespace)["status"] == "Success"


def test_pages(core: Any, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, config_map(f"page-{number}"))
    first = core.list_namespaced_config_map(namespace, limit=2)
    assert first.metadata.remaining_item_count >= 3
    core.create_namespaced_config_map(namespace, config_map("late"))
    names, page = [one.metadata.name for one in first.items], first
    while token := page.metadata._continue:
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=token)
        assert page.metadata.resource_version == first.metadata.resource_version
        names += [one.metadata.name for one in page.items]
    assert [name for name in names if name.startswith("page-")] == [f"page-{number}" for number in range(5)]
    assert "late" not in names


def test_watch_resumes(core: Any, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a", x="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
    core.delete_namespaced_config_map("a", namespace)

    def events(version: str, count: int) -> list[tuple[str, str, str]]:
        watcher, found = watch.Watch(), []
        for event in watcher.stream(
            core.list_namespaced_config_map, namespace, resource_version=version,
            field_selector="metadata.name=a", timeout_seconds=5,
        ):  # fmt: skip
            found.append(
                (event["type"], event["object"].data["x"], event["object"].metadata.resource_version)
            )
            if len(found) == count:
                watcher.stop()
        return found

    seen = events(start, 3)
    assert [event[:2] for event in seen] == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
    assert events(seen[0][2], 2) == seen[1:]


def test_watch_streams_the_list_and_a_bookmark(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    answer = core.list_namespaced_config_map(
        namespace, watch=True, allow_watch_bookmarks=True, send_initial_events=True, timeout_seconds=1,
        resource_version_match="NotOlderThan", field_selector="metadata.name=a", _preload_content=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in answer.data.splitlines()]
    assert [line["type"] for line in lines[:2]] == ["ADDED", "BOOKMARK"]
    assert lines[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_version_from_before_everything_is_gone(core: Any, namespace: str) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_namespaced_config_map(
            namespace, resource_version="99999999", resource_version_match="Exact"
        )
    assert caught.value.status in (400, 504)


def test_delete_collection(core: Any, namespace: str) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        body = config_map(name)
        body.metadata.labels = {"l": label}
        core.create_namespaced_config_map(namespace, body)
    tried = core.delete_collection_namespaced_config_map(namespace, label_selector="l=x", dry_run="All")
    assert tried.status is None or tried.status == "Success"
    assert len(core.list_namespaced_config_map(namespace, label_selector="l").items) == 3
    core.delete_collection_namespaced_config_map(namespace, label_selector="l=x")
    left = core.list_namespaced_config_map(namespace, label_selector="l").items
    assert [one.metadata.name for one in left] == ["c"]


def test_dry_runs_leave_nothing(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", x="1"))
    before = core.read_namespaced_config_map("a", namespace)
    core.create_namespaced_config_map(namespace, config_map("b"), dry_run="All")
    core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}}, dry_run="All")
    core.replace_namespaced_config_map("a", namespace, config_map("a", x="3"), dry_run="All")
    core.delete_namespaced_config_map("a", namespace, dry_run="All")
    assert core.read_namespaced_config_map("a", namespace) == before
    names = [one.metadata.name for one in core.list_namespaced_config_map(namespace).items]
    assert "b" not in names


def test_server_side_apply(core: Any, namespace: str) -> None:
    def apply(manager: str, *, force: bool = False, **data: str) -> Any:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
        return core.patch_namespaced_config_map(
            "a",
            namespace,
            body,
            field_manager=manager,
            force=force,
            _content_type="application/apply-patch+yaml",
        )

    assert apply("one", x="1", y="1").data == {"x": "1", "y": "1"}
    with pytest.raises(ApiException) as caught:
        apply("two", x="2")
    assert caught.value.status == 409
    assert 'Apply failed with 1 conflict: conflict with \\"one\\": .data.x' in caught.value.body
    assert apply("two", force=True, x="2").data == {"x": "2", "y": "1"}
    assert apply("one").data == {"x": "2"}


def test_tokens_and_reviews(connection: Any, core: Any, namespace: str) -> None:
    spec = client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    made = core.create_namespaced_service_account_token(
        "default", namespace, client.AuthenticationV1TokenRequest(spec=spec)
    )
    review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=made.status.token))
    status = client.AuthenticationV1Api(connection).create_token_review(review).status
    assert (status.authenticated, status.user.username) == (
        True,
        f"system:serviceaccount:{namespace}:default",
    )
    attributes = client.V1ResourceAttributes(verb="list", resource="secrets", namespace=namespace)
    access = client.V1SubjectAccessReview(
        spec=client.V1SubjectAccessReviewSpec(user=status.user.username, resource_attributes=attributes)
    )
    assert client.AuthorizationV1Api(connection).create_subject_access_review(access).status.allowed is False


def test_pods_run_and_are_evicted(core: Any, namespace: str) -> None:
    spec = client.V1PodSpec(containers=[client.V1Container(name="c", image="i")])
    core.create_namespaced_pod(namespace, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, namespace, timeout_seconds=20):
        if event["object"].status.phase == "Running":
            watcher.stop()
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="p", namespace=namespace))
    core.create_namespaced_pod_eviction("p", namespace, eviction)
    start = event["object"].metadata.resource_version
    for event in watcher.stream(
        core.list_namespaced_pod, namespace, resource_version=start, timeout_seconds=20
    ):
        if event["type"] == "DELETED":
            watcher.stop()
    assert core.list_namespaced_pod(namespace).items == []


def test_custom_objects(connection: Any, namespace: str) -> None:
    group = "client.example.com"
    extensions, custom = client.ApiextensionsV1Api(connection), client.CustomObjectsApi(connection)
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"boxes.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip
    extensions.create_custom_resource_definition(definition)
    watcher = watch.Watch()
    for event in watcher.stream(extensions.list_custom_resource_definition, timeout_seconds=20):
        conditions = event["object"].status.conditions or []
        if event["object"].metadata.name == f"boxes.{group}" and any(
            one.type == "Established" and one.status == "True" for one in conditions
        ):
            watcher.stop()
    where = {"group": group, "version": "v1", "namespace": namespace, "plural": "boxes"}
    box = {"apiVersion": f"{group}/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 1}}
    assert custom.create_namespaced_custom_object(**where, body=box)["spec"] == {"size": 1}
    patched = custom.patch_namespaced_custom_object(**where, name="b", body={"spec": {"size": 2}})
    assert patched["spec"]["size"] == 2
    assert [one["metadata"]["name"] for one in custom.list_namespaced_custom_object(**where)["items"]] == [
        "b"
    ]
    custom.delete_namespaced_custom_object(**where, name="b")
    extensions.delete_custom_resource_definition(f"boxes.{group}")
