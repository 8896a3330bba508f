"""What upstream's tests of watches, pages and forms do, step by step, in protobuf as its clients speak."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import Object, Refused, Typed

LABEL = "watch-this-configmap"
TEMPLATES = 400
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _config_map(name: str, label: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {LABEL: label}}}


def _mutated(maps: Typed, name: str, value: str) -> Object:
    return maps.changed(name, lambda live: live.setdefault("data", {}).update(mutation=value))


def _labelled(maps: Typed, name: str, label: str) -> Object:
    return maps.changed(name, lambda live: live["metadata"]["labels"].update({LABEL: label}))


def _any_of(*labels: str) -> str:
    return f"{LABEL} in ({','.join(sorted(labels))})"


def _next(events: Iterator[tuple[str, Object]], *wanted: tuple[str, Object | None]) -> None:
    """The next events are just these; of what is deleted only the type counts."""
    for kind, obj in wanted:
        seen = next(events)
        assert seen[0] == kind
        assert obj is None or seen[1] == obj


def test_watches_see_what_their_labels_select(api: Any, namespace: str) -> None:
    maps = Typed(api, "v1", "configmaps", namespace)
    with (
        maps.watch("", labelSelector=_any_of("A")) as a,
        maps.watch("", labelSelector=_any_of("B")) as b,
        maps.watch("", labelSelector=_any_of("A", "B")) as both,
    ):
        steps = [("ADDED", maps.create(_config_map("a", "A")))]
        steps += [("MODIFIED", _mutated(maps, "a", value)) for value in ("1", "2")]
        maps.delete("a")
        _next(a, *steps, ("DELETED", None))
        _next(both, *steps, ("DELETED", None))
        made = maps.create(_config_map("b", "B"))
        maps.delete("b")
        _next(b, ("ADDED", made), ("DELETED", None))
        _next(both, ("ADDED", made), ("DELETED", None))
        last = maps.create(_config_map("last", "A"))  # nothing of the other label came before it
        _next(a, ("ADDED", last))
        _next(both, ("ADDED", last))
        last = _labelled(maps, "last", "B")
        _next(b, ("ADDED", last))


def test_a_watch_begins_where_it_is_told(api: Any, namespace: str) -> None:
    maps = Typed(api, "v1", "configmaps", namespace)
    maps.create(_config_map("m", "from-resource-version"))
    first, second = (_mutated(maps, "m", value) for value in ("1", "2"))
    maps.delete("m")
    begin = first["metadata"]["resourceVersion"]
    with maps.watch(begin, labelSelector=_any_of("from-resource-version")) as events:
        _next(events, ("MODIFIED", second), ("DELETED", None))


def test_a_watch_goes_on_where_one_ended(api: Any, namespace: str) -> None:
    maps, label = Typed(api, "v1", "configmaps", namespace), "watch-closed-and-restarted"
    with maps.watch("", labelSelector=_any_of(label)) as events:
        made = maps.create(_config_map("m", label))
        _mutated(maps, "m", "1")
        _next(events, ("ADDED", made))
        kind, last = next(events)
        assert kind == "MODIFIED"
    second = _mutated(maps, "m", "2")
    with maps.watch(last["metadata"]["resourceVersion"], labelSelector=_any_of(label)) as events:
        maps.delete("m")
        _next(events, ("MODIFIED", second), ("DELETED", None))


def test_what_leaves_a_selection_is_deleted_for_its_watch(api: Any, namespace: str) -> None:
    maps, label = Typed(api, "v1", "configmaps", namespace), "label-changed-and-restored"
    with maps.watch("", labelSelector=_any_of(label)) as events:
        made = maps.create(_config_map("m", label))
        changed = _mutated(maps, "m", "1")
        _labelled(maps, "m", "wrong-value")
        _next(events, ("ADDED", made), ("MODIFIED", changed), ("DELETED", None))
        _mutated(maps, "m", "2")
        restored = _labelled(maps, "m", label)
        third = _mutated(maps, "m", "3")
        maps.delete("m")
        _next(events, ("ADDED", restored), ("MODIFIED", third), ("DELETED", None))


def test_each_event_begins_a_watch_that_sees_the_same(api: Any, namespace: str) -> None:
    """Every watch begins at the version of the event before, and all see the events after it in one order."""
    maps, choice = Typed(api, "v1", "configmaps", namespace), random.Random(7)
    begin = maps.list()["metadata"]["resourceVersion"]
    there: list[str] = []
    for number in range(60):
        step = choice.randrange(3) if there else 0
        if step == 0:
            there.append(f"cm-{number}")
            maps.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": there[-1]}})
        elif step == 1:
            name = choice.choice(there)
            body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            maps.update({**body, "data": {"n": str(number)}})
        else:
            maps.delete(there.pop(choice.randrange(len(there))))

    def versions(begin: str, count: int) -> list[str]:
        with maps.watch(begin) as events:
            return [next(events)[1]["metadata"]["resourceVersion"] for _ in range(count)]

    told = versions(begin, 60)
    assert told == sorted(set(told), key=int)
    for index in range(0, 59, 5):
        assert versions(told[index], 59 - index) == told[index + 1 :]


def _template(number: int) -> Object:
    spec = {"containers": [{"name": "test", "image": "test2"}]}
    name = f"template-{number:04}"
    return {
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": {"spec": spec},
    }  # fmt: skip


@pytest.mark.slow
def test_chunks_of_a_long_list(api: Any, namespace: str) -> None:
    templates, size = Typed(api, "v1", "podtemplates", namespace), random.Random(11)

    def fill(numbers: range) -> None:
        own = type(api)(api.cluster)
        for number in numbers:
            Typed(own, "v1", "podtemplates", namespace).create(_template(number))
        own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, [range(part, TEMPLATES, 4) for part in range(4)]))
    for _ in range(3):
        names: list[str] = []
        versions, query = set(), {}
        while True:
            limit = size.randrange(TEMPLATES // 10) + 1
            page = templates.list(limit=str(limit), **query)
            names += [one["metadata"]["name"] for one in page["items"]]
            meta = page["metadata"]
            versions.add(meta["resourceVersion"])
            assert len(page["items"]) <= limit
            assert int(meta.get("remainingItemCount", 0)) + len(names) == TEMPLATES
            if not meta.get("continue"):
                assert "remainingItemCount" not in meta
                break
            query = {"continue": meta["continue"]}
        assert names == [f"template-{number:04}" for number in range(TEMPLATES)]
        assert len(versions) == 1
    assert len(templates.list(limit=str(TEMPLATES + 1))["items"]) == TEMPLATES


def test_a_review_is_no_table(api: Any) -> None:
    """Neither of JSON nor of protobuf, which is what upstream's client sends with this Accept header."""
    body = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }  # fmt: skip
    reviews = Typed(api, "authorization.k8s.io/v1", "selfsubjectaccessreviews")
    assert reviews.create(body)["status"]["allowed"]
    answer = api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, accept=TABLE)
    assert (answer.status, answer.json["kind"], answer.json["reason"]) == (406, "Status", "NotAcceptable")


def test_services_of_all_namespaces(api: Any) -> None:
    """The one through which pods reach the server is found by who looks everywhere, with its port for TLS."""
    services = Typed(api, "v1", "services").list()["items"]
    assert "kubernetes" in [one["metadata"]["name"] for one in services]
    secure = Typed(api, "v1", "services", "default").get("kubernetes")
    (port,) = secure["spec"]["ports"]
    assert (port["name"], port["port"], port["protocol"]) == ("https", 443, "TCP")
    with pytest.raises(Refused):
        Typed(api, "v1", "services", "default").create(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes"},
             "spec": {"ports": [{"port": 80}]}}
        )  # fmt: skip
