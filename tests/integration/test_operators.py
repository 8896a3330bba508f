"""Other people's frameworks against a cluster, unchanged: an operator on kopf, a script on kr8s."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning",
                               "ignore::pytest.PytestUnraisableExceptionWarning",
                               "ignore:Kubernetes version:UserWarning"),
]  # fmt: skip
OPERATOR = Path(__file__).with_name("kopf_operator.py")
GROUP, VERSION, PLURAL = "fleet.example.com", "v1", "ships"
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
WAIT_S = 30


@pytest.fixture
def connection(api: Any) -> Iterator[Any]:
    with config.new_client_from_config(config_file=api.kubeconfig) as made:
        yield made


@pytest.fixture
def ships(connection: Any) -> Iterator[Any]:
    """The definition of Ships, served."""
    extensions = client.ApiextensionsV1Api(connection)
    schema = {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"mast": {"type": "integer"}}}, "status": FREE}}  # fmt: skip
    version = {
        "name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }  # fmt: skip
    names = {"plural": PLURAL, "kind": "Ship", "singular": "ship"}
    name = f"{PLURAL}.{GROUP}"
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    extensions.create_custom_resource_definition({"metadata": {"name": name}, "spec": spec})
    listing = extensions.list_custom_resource_definition
    until(listing, lambda crd: any(
        one["type"] == "Established" and one["status"] == "True"
        for one in crd.get("status", {}).get("conditions", ())
    ), field_selector=f"metadata.name={name}")  # fmt: skip
    yield client.CustomObjectsApi(connection)
    extensions.delete_custom_resource_definition(name)


def until(listing: Callable[..., Any], condition: Callable[[Any], bool], *words: str, **options: Any) -> Any:
    """Watch until an object is as wanted, and return it in wire form."""
    watching = watch.Watch()
    for event in watching.stream(listing, *words, timeout_seconds=WAIT_S, **options):
        if condition(event["raw_object"]) and event["type"] != "DELETED":
            watching.stop()
            return event["raw_object"]
    raise TimeoutError("it never came to be as wanted")


@pytest.fixture
def operator(api: Any, ships: Any, namespace: str) -> Iterator[None]:
    """The operator, running as its users run it."""
    words = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", namespace, str(OPERATOR)]
    environment = {**os.environ, "KUBECONFIG": api.kubeconfig}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield
            process.terminate()
            said, _ = process.communicate(timeout=WAIT_S)
            assert process.returncode == 0, said
        finally:
            process.kill()


@pytest.mark.usefixtures("operator")
def test_a_kopf_operator(connection: Any, ships: Any, namespace: str) -> None:
    core = client.CoreV1Api(connection)
    maps = core.list_namespaced_config_map
    where = (GROUP, VERSION, namespace, PLURAL)
    seen = ships.list_namespaced_custom_object
    head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Ship"}
    body = {**head, "metadata": {"name": "argo"}, "spec": {"mast": 1}}
    ships.create_namespaced_custom_object(*where, body)
    crew = until(maps, lambda one: one["metadata"]["name"] == "argo-crew", namespace)
    (owner,) = crew["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], crew["data"]) == ("Ship", "argo", {"masts": "1"})
    until(seen, lambda one: one.get("status", {}).get("launch"), *where)
    ships.patch_namespaced_custom_object(*where, "argo", {"spec": {"mast": 2}})
    until(maps, lambda one: one.get("data") == {"masts": "2"}, namespace)
    until(seen, lambda one: one.get("status", {}).get("masts") == 2, *where)
    events = core.list_namespaced_event
    until(
        events, lambda one: (one["reason"], one["involvedObject"]["name"]) == ("Launched", "argo"), namespace
    )
    ships.delete_namespaced_custom_object(*where, "argo")
    until(maps, lambda one: one["metadata"]["name"] == "argo-wreck", namespace)


async def _script(kubeconfig: str, namespace: str) -> list[str]:
    """What a user of kr8s writes, start to end."""
    import kr8s
    from kr8s.asyncio.objects import ConfigMap, Deployment, Pod

    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, namespace=namespace)
    said = [f"{(await api.version())['major']}"]
    labels = {"app": "kr8s"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    deployment = await Deployment(
        {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}, api=api
    )
    await deployment.create()
    await deployment.wait("condition=Available", timeout=WAIT_S)
    await deployment.scale(2)
    await deployment.label(tier="front")
    await deployment.annotate(note="seen")
    await deployment.refresh()
    said.append(f"{deployment.replicas} {deployment.labels['tier']} {deployment.annotations['note']}")
    pods = [pod async for pod in Pod.list(namespace=namespace, label_selector=labels, api=api)]
    said.append(" ".join(sorted({pod.raw.kind for pod in pods})))
    table = [row async for row in api.get("deployments", namespace=namespace)]
    said.append(table[0].name)
    made = await ConfigMap({"metadata": {"name": "c", "namespace": namespace}, "data": {"a": "1"}}, api=api)
    await made.create()
    await made.patch({"data": {"a": "2"}})
    found = await ConfigMap.get("c", namespace=namespace, api=api)
    said.append(found.data["a"])
    await found.delete()
    said.append(str(await found.exists()))
    said.append(str(len(await api.api_resources()) > 50))
    await deployment.delete(propagation_policy="Foreground")
    return said


def test_a_kr8s_script(api: Any, namespace: str) -> None:
    said = asyncio.run(_script(api.kubeconfig, namespace))
    assert said == ["1", "2 front seen", "Pod", "web", "2", "False", "True"]
