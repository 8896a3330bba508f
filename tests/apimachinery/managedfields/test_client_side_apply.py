"""Between client-side apply and server-side apply: the rows of upstream's tables, on built-in kinds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.apimachinery.errors import Conflict
from tiphys.apimachinery.managedfields import apply, update
from tiphys.apimachinery.managedfields.apply import LAST_APPLIED
from tiphys.apimachinery.meta import GVK, copy_object, split_api_version
from tiphys.apis.schemas import schema_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC)
Obj = dict[str, Any]


def schema_of(obj: Obj) -> Any:
    return schema_for(GVK(*split_api_version(obj["apiVersion"]), obj["kind"]))


def applied(live: Obj | None, obj: Obj, who: str, *, force: bool = False, now: datetime = NOW) -> Obj:
    version = obj["apiVersion"]
    return apply(live, obj, schema_of(obj), manager=who, api_version=version, now=now, force=force)


def updated(live: Obj | None, obj: Obj, who: str, **options: Any) -> Obj:
    version, new = obj["apiVersion"], copy_object(obj)
    return update(live, new, schema_of(obj), manager=who, api_version=version, now=NOW, **options)


def an(api_version: str, kind: str, spec: Obj, **metadata: Any) -> Obj:
    meta = {"name": "o", **metadata}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}


def deployment(
    replicas: int | None = None, *images: str, label: str = "", template: str = "my-app", selects: str = ""
) -> Obj:
    spec: Obj = {} if replicas is None else {"replicas": replicas}
    if selects:
        spec["selector"] = {"matchLabels": {"app": selects}}
    if images:
        containers = [{"name": f"c{at}", "image": image} for at, image in enumerate(images)]
        spec["template"] = {"metadata": {"labels": {"app": template}}, "spec": {"containers": containers}}
    return an("apps/v1", "Deployment", spec, **({"labels": {"app": label}} if label else {}))


def whole(replicas: int, image: str, label: str = "my-app", inner: str = "my-app") -> Obj:
    return deployment(replicas, image, label=label, template=inner, selects=inner)


def service(target: int, **selector: str) -> Obj:
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": target}
    return an("v1", "Service", {"ports": [port], "selector": selector})


def controller(replicas: int, **selector: str) -> Obj:
    return an("v1", "ReplicationController", {"replicas": replicas, "selector": selector})


def pod(node: str = "", **selector: str) -> Obj:
    container = {"args": ["-v=2"], "command": ["run"], "image": "app", "name": "do"}
    spec: Obj = {"containers": [container], "nodeSelector": selector}
    return an("v1", "Pod", spec | ({"nodeName": node} if node else {}))


SAME = None
"""What was applied last is what the object is."""
IMAGE = '.spec.template.spec.containers[name="c0"].image'
ROWS: dict[str, tuple[str, Obj | None, Obj, Obj, list[str]]] = {
    # who applies, what was applied last, what the object is, what is applied now, what others hold
    "what others changed": (
        "kubectl",
        deployment(3, "v1", "two", selects="my-app"),
        whole(100, "v2"),
        whole(333, "new", label="new", inner="new"),
        [".metadata.labels.app", ".spec.replicas", IMAGE],
    ),
    "replicas that others changed": (
        "kubectl",
        whole(3, "i"),
        whole(100, "i"),
        deployment(3, "i", label="new"),
        [".spec.replicas"],
    ),
    "nothing new": ("kubectl", SAME, whole(100, "i"), whole(100, "i"), []),
    "all its own": ("kubectl", SAME, whole(3, "i"), whole(333, "i", label="new", inner="new"), []),
    "not kubectl": (
        "other",
        whole(3, "v1"),
        whole(100, "v2"),
        whole(333, "new", label="new", inner="new"),
        [
            ".metadata.labels.app",
            ".spec.replicas",
            ".spec.selector",
            ".spec.template.metadata.labels.app",
            IMAGE,
        ],
    ),
    "an image": ("kubectl", SAME, whole(3, "i"), whole(3, "new", label="new"), []),
    "not kubectl, and not what others changed": (
        "other",
        SAME,
        whole(100, "i"),
        whole(3, "new", label="new"),
        [".metadata.labels.app", ".spec.replicas", IMAGE],
    ),
    "replicas alone": ("kubectl", SAME, deployment(3), deployment(100), []),
    "another version": (
        "kubectl",
        {**deployment(3), "apiVersion": "extensions/v1beta1"},
        deployment(3),
        deployment(100),
        [".spec.replicas"],
    ),
    "another kind of thing": (
        "kubectl",
        {"apiVersion": "foo", "kind": "bar", "spec": "text"},
        deployment(3),
        deployment(100),
        [".spec.replicas"],
    ),
    "of its version, and odd": (
        "kubectl",
        {**deployment(3), "spec": "text"},
        deployment(3),
        deployment(100),
        [".spec.replicas"],
    ),
    "nothing": ("kubectl", {}, deployment(3), deployment(100), [".spec.replicas"]),
    "a service": ("kubectl", SAME, service(8443, old="t"), service(8444, new="t"), []),
    "a service without a selector": ("kubectl", SAME, service(8443, old="t"), service(8444), []),
    "a service of others": (
        "other",
        SAME,
        service(8443, old="t"),
        service(8444, new="t"),
        ['.spec.ports[port=443,protocol="TCP"].targetPort', ".spec.selector"],
    ),
    "a controller": ("kubectl", SAME, controller(0, old="t"), controller(3, new="t"), []),
    "a controller of others": (
        "other",
        SAME,
        controller(0, old="t"),
        controller(3, new="t"),
        [".spec.replicas", ".spec.selector"],
    ),
    "a pod": ("kubectl", SAME, pod("n", master=""), pod(worker=""), []),
    "a pod of others": (
        "other",
        SAME,
        pod("n", master=""),
        pod("n", master="", other=""),
        [".spec.nodeSelector"],
    ),
    "a pod of others, cleared": (
        "other",
        SAME,
        pod("n", master=""),
        pod("another"),
        [".spec.nodeName", ".spec.nodeSelector"],
    ),
    "a pod, cleared": ("kubectl", SAME, pod("n", master=""), pod("another"), []),
}


def derives(wanted: Any, found: Any) -> bool:
    """Tell whether all that is wanted is found."""
    if isinstance(wanted, dict):
        return all(derives(value, (found or {}).get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) <= len(found) and all(map(derives, wanted, found))
    return bool(wanted == found)


@pytest.mark.parametrize("row", ROWS)
def test_what_was_applied_by_the_client_may_be_taken(row: str) -> None:
    who, last, original, given, held = ROWS[row]
    original = copy_object(original)
    text = json.dumps(original if last is None else last)
    original["metadata"]["annotations"] = {LAST_APPLIED: text}
    live = updated(None, original, "client")
    if held:
        with pytest.raises(Conflict) as caught:
            applied(live, given, who)
        causes = (caught.value.details or {})["causes"]
        assert sorted(cause["field"] for cause in causes) == sorted(held)
        assert {cause["message"] for cause in causes} == {
            f'conflict with "client" using {given["apiVersion"]}'
        }
    assert derives(given, applied(live, given, who, force=bool(held)))


def noted(obj: Obj) -> str:
    return str(obj["metadata"].get("annotations", {}).get(LAST_APPLIED))


def test_the_note_of_another_manager_stays() -> None:
    given = whole(20, "i")
    given["metadata"]["annotations"] = {LAST_APPLIED: "some"}
    live = applied(None, given, "other")
    assert noted(live) == "some"
    live = applied(live, given, "kubectl")
    assert json.loads(noted(live))["spec"] == given["spec"]


def test_a_note_that_says_nothing_stays() -> None:
    given = deployment(3)
    live = copy_object(given)
    live["metadata"]["annotations"] = {LAST_APPLIED: ""}
    assert noted(applied(updated(None, live, "client"), given, "kubectl")) == ""


@pytest.mark.parametrize(
    ("annotations", "meta"),
    [
        (None, '{"name":"o"}'),
        ({LAST_APPLIED: "some"}, '{"annotations":{},"name":"o"}'),
        ({"a": "<&>"}, '{"annotations":{"a":"\\u003c\\u0026\\u003e"},"name":"o"}'),
    ],
)
def test_the_note_is_what_was_applied_without_the_note(annotations: Any, meta: str) -> None:
    given = deployment(3)
    live = updated(None, deployment(3), "client")
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(given)}
    if annotations is not None:
        given["metadata"]["annotations"] = annotations
    text = noted(applied(live, given, "kubectl", force=True))
    assert (
        text == f'{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{meta},"spec":{{"replicas":3}}}}\n'
    )


@pytest.mark.parametrize(("keys", "everywhere"), [(9999, False), (2000, True)])
def test_a_note_that_grows_too_large_goes(keys: int, everywhere: bool) -> None:
    def config(count: int, **annotations: str) -> Obj:
        data = {"k": "v"} | {f"{'long-key' * 9}-{at}": "A" for at in range(count)}
        metadata = {"name": "m", "annotations": {LAST_APPLIED: "some", **annotations}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    live = applied(None, config(2000 if everywhere else 0), "kubectl")
    assert json.loads(noted(live))["data"]["k"] == "v"
    more = {f"{'long-key' * 9}-{at}": "A" for at in range(keys)} if everywhere else {}
    live = applied(live, config(keys, **more), "kubectl")
    assert LAST_APPLIED not in live["metadata"].get("annotations", {})


def test_a_note_that_cannot_be_read_is_mended_by_force() -> None:
    given = deployment(1, label="v1")
    given["metadata"]["annotations"] = {LAST_APPLIED: "invalid-object"}
    live = updated(None, given, "client")
    with pytest.raises(Conflict):
        applied(live, deployment(100, label="v2"), "kubectl")
    live = applied(live, deployment(100, label="v2"), "kubectl", force=True)
    assert json.loads(noted(live))["metadata"]["labels"] == {"app": "v2"}


def test_who_forgets_managers_may_begin_again() -> None:
    live = updated(None, deployment(100, label="a"), "client")
    forgotten = deployment(100, label="a")
    forgotten["metadata"]["managedFields"] = []
    live = updated(live, forgotten, "client")
    assert "managedFields" not in live["metadata"]
    again = deployment(100, label="a")
    again["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(deployment(100, label="a"))}
    live = updated(live, again, "client")
    assert "managedFields" not in live["metadata"]
    live = applied(live, deployment(100, label="a"), "other")
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert managers == ["other", "before-first-apply"]
    with pytest.raises(Conflict):  # it shares with one who is not before all
        applied(live, deployment(8, label="b"), "third")


def test_kubectl_takes_from_those_before_the_first_apply_what_was_its_own() -> None:
    live = deployment(100, label="a")
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(live)}
    live = applied(live, deployment(100, label="a"), "other")
    live = applied(live, deployment(8, label="b"), "kubectl")
    assert live["spec"] == {"replicas": 8}
    assert json.loads(noted(live))["spec"] == {"replicas": 8}


def test_what_nobody_applied_is_before_the_first_apply() -> None:
    live = an("v1", "Pod", {}, labels={"app": "mine"})
    given = an("v1", "Pod", {"containers": [{"name": "c", "image": "i"}]}, labels={"app": "x"})
    with pytest.raises(Conflict) as caught:
        applied(live, given, "me")
    (cause,) = (caught.value.details or {})["causes"]
    assert (cause["field"], "before-first-apply" in cause["message"]) == (".metadata.labels.app", True)
    entries = applied(live, given, "me", force=True)["metadata"]["managedFields"]
    assert [entry["manager"] for entry in entries] == ["me", "before-first-apply"]


def test_what_the_server_keeps_is_nobodys() -> None:
    bare = {"apiVersion": "apps/v1", "kind": "Deployment"}
    kept = {"name": "b", "namespace": "b", "uid": "b", "generation": 0, "resourceVersion": "b",
            "creationTimestamp": "2026-01-02T03:04:05Z"}  # fmt: skip
    odd = [{"manager": "m", "operation": "Apply", "apiVersion": "apps/v1"}]
    live = updated(None, {**bare, "metadata": {**kept, "managedFields": odd}}, "me")
    assert "managedFields" not in live["metadata"]
    assert "managedFields" not in applied(None, {**bare, "metadata": {"name": "b"}}, "me")["metadata"]


def test_what_changes_nothing_is_noted_only_of_the_first_time() -> None:
    given = an("v1", "Pod", {}, labels={"a": "b"})
    first = applied(None, given, "one")
    both = applied(first, given, "two", now=LATER)
    assert [entry["manager"] for entry in both["metadata"]["managedFields"]] == ["two", "one"]
    assert updated(both, given, "three") == both
    assert applied(both, given, "one", now=LATER) == both


def test_a_subresource_tells_nothing_of_other_managers() -> None:
    mine = [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:metadata": {"f:labels": {"f:b": {}}}}}]  # fmt: skip
    live = updated(None, an("v1", "Pod", {}), "first")
    given = an("v1", "Pod", {}, labels={"a": "b"}, managedFields=mine)
    live = updated(live, given, "sub", subresource="scale")
    managers = [entry["manager"] for entry in live["metadata"].get("managedFields", [])]
    given["metadata"]["managedFields"] = []
    again = updated(live, given, "sub", subresource="scale")
    assert again == live
    assert "m" not in managers
