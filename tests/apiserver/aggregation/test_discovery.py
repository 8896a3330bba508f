"""Discovery where some groups are served elsewhere: in which order, and what stands for each resource.

Source: upstream's tests of the aggregator's /apis and of aggregated discovery.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.families import Metric
from tiphys.apis.table import TABLE
from tiphys.apiserver.aggregation.counts import Counts
from tiphys.apiserver.aggregation.discovery import (
    Documents,
    Remote,
    Services,
    _aggregated,
    _by_group,
    _entries,
    _groups,
)
from tiphys.apiserver.aggregation.objects import local_services
from tiphys.wire.message import Request


def remote(name: str, group_priority: int, priority: int = 1, *, fresh: bool = True) -> Remote:
    version, _, group = name.partition(".")
    spec = {
        "group": group, "version": version, "groupPriorityMinimum": group_priority,
        "versionPriority": priority,
    }  # fmt: skip
    return Remote(spec, [{"name": "things", "kind": "Thing", "verbs": ["get"]}], fresh)


def services(remotes: list[Remote]) -> Services:
    """What APIServices say where some are of remote APIs."""
    return _by_group([one["spec"] for one in local_services(TABLE)] + [one.spec for one in remotes])


def legacy_groups(remotes: list[Remote]) -> list[Any]:
    specs = [one["spec"] for one in local_services(TABLE)] + [one.spec for one in remotes]
    documents = Documents(TABLE, lambda: remotes, lambda: specs)
    answer = documents.answer(Request("GET", "/apis", "", {"accept": "application/json"}), [])
    assert answer is not None
    return orjson.loads(bytes(answer.body))["groups"]  # type: ignore[arg-type, no-any-return]


ORDERS: dict[str, tuple[list[Remote], dict[str, list[str]]]] = {
    "by the group's priority": (
        [remote("v1.bar", 10), remote("v1.foo", 11)], {"foo": ["v1"], "bar": ["v1"]}
    ),
    "by the highest of a group and the versions' own": (
        [remote("v1.foo", 20, 10), remote("v2.bar", 11), remote("v2.foo", 1, 15), remote("v1.bar", 11)],
        {"foo": ["v2", "v1"], "bar": ["v2", "v1"]},
    ),
    "versions that count the same": (
        [remote("v1beta1.a", 5), remote("v10.a", 5), remote("v2.a", 5), remote("foo.a", 5)],
        {"a": ["v10", "v2", "v1beta1", "foo"]},
    ),
    "among local versions": (
        [remote("v3.autoscaling", 5, 20), remote("v4.autoscaling", 5, 40), remote("v5.autoscaling", 5, 1)],
        {"autoscaling": ["v4", "v2", "v3", "v1", "v5"]},
    ),
    "in the place of a local one": ([remote("v1.autoscaling", 5, 40)], {"autoscaling": ["v1", "v2"]}),
    "none but local ones": ([], {"autoscaling": ["v2", "v1"]}),
    "before all others": ([remote("v1.a", 17900)], {"a": ["v1"], "apps": ["v1"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name: str) -> None:
    remotes, want = ORDERS[name]
    legacy = legacy_groups(remotes)
    assert all(one["preferredVersion"] == one["versions"][0] for one in legacy)
    whole = _aggregated(TABLE, services(remotes), remotes, "v2")["items"]
    for found in (
        {one["name"]: [version["version"] for version in one["versions"]] for one in legacy},
        {one["metadata"]["name"]: [version["version"] for version in one["versions"]] for one in whole},
    ):
        assert [(key, versions) for key, versions in found.items() if key in want] == list(want.items())
        assert next(iter(found)) == "apiregistration.k8s.io"


def test_groups_that_count_the_same() -> None:
    """The one list goes by the names of APIServices, which begin with the version, the other by groups."""
    remotes = [remote("v1.zoo", 5), remote("v1alpha1.ant", 5), remote("v1.bee", 5)]
    legacy = [one["name"] for one in legacy_groups(remotes)]
    whole = [one["metadata"]["name"] for one in _aggregated(TABLE, {}, remotes, "v2")["items"]]
    assert (legacy[-3:], whole[-3:]) == (["bee", "zoo", "ant"], ["ant", "bee", "zoo"])


def test_an_apiservice_says_how_much_a_local_group_counts() -> None:
    """Somebody may have changed it, or taken it away."""
    known = services([])
    known["apps"]["v1"] = {**known["apps"]["v1"], "groupPriorityMinimum": 1}
    del known["batch"]
    legacy = [one["name"] for one in _groups(known)]
    whole = [one["metadata"]["name"] for one in _aggregated(TABLE, known, [], "v2")["items"]]
    assert legacy[-1] == whole[-1] == "apps"
    assert "batch" not in legacy
    assert "batch" in whole, "it is served"


NONE = {"group": "", "version": "", "kind": ""}


def sub(name: str, **kind: str) -> dict[str, Any]:
    return {"subresource": name, "responseKind": {**NONE, **kind}, "verbs": None}


def entry(name: str, *subresources: Any, scope: str = "Cluster", **kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "resource": name, "responseKind": {**NONE, **kind}, "scope": scope, "singularResource": "",
        "verbs": None,
    }  # fmt: skip
    return made | ({"subresources": list(subresources)} if subresources else {})


ENTRIES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "kinds are as they were said": (
        [{"name": "a", "kind": "A"}, {"name": "b", "kind": "B", "group": "g", "version": "v2"},
         {"name": "c"}],
        [entry("a", kind="A"), entry("b", kind="B", group="g", version="v2"), entry("c")],
    ),
    "a subresource": (
        [{"name": "a", "kind": "A"}, {"name": "a/scale", "kind": "Scale", "group": "autoscaling"}],
        [entry("a", sub("scale", kind="Scale", group="autoscaling"), kind="A")],
    ),
    "subresources of nothing": (
        [{"name": "pods/cpu", "namespaced": True, "kind": "M"}, {"name": "pods/memory/used", "kind": "M"}],
        [entry("pods", sub("cpu", kind="M"), sub("memory/used", kind="M"), scope="Namespaced")],
    ),
    "a subresource before its resource": (
        [{"name": "a/status", "kind": "A"}, {"name": "a", "kind": "A"}],
        [entry("a", sub("status", kind="A"), kind="A")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_entries(name: str) -> None:
    resources, want = ENTRIES[name]
    assert _entries(resources) == want


def test_what_was_never_reached_is_stale_and_has_nothing() -> None:
    lost = remote("v1.lost", 5)
    items = _aggregated(TABLE, {}, [Remote(lost.spec, [], fresh=False)], "v2")["items"]
    assert items[-1]["versions"] == [{"version": "v1", "freshness": "Stale"}]


ALL = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def numbers(metrics: Any) -> dict[str, float]:
    found: list[Metric] = list(metrics)
    return {
        "/".join((sample.name, *sample.labels.values())): sample.value
        for family in found
        for sample in family.samples
    }


def test_what_is_counted_of_discovery() -> None:
    documents = Documents(TABLE, list, list)
    documents.peers = dict

    def ask(accept: str) -> None:
        documents.answer(Request("GET", "/apis", "", {"accept": accept}), [])

    for accept in ("application/json", ALL, f"{ALL};profile=foo", ALL, f"{ALL};profile=nopeer"):
        ask(accept)
    ask(f"{ALL};profile=nopeer")
    documents.forget()
    ask(ALL)
    start = "aggregator_discovery_"
    assert numbers(documents.counts.collect([])) == {
        f"{start}aggregation_count_total": 3, f"{start}peer_aggregated_cache_hits_total": 2,
        f"{start}peer_aggregated_cache_misses_total": 2, f"{start}nopeer_requests_total": 2,
    }  # fmt: skip


def service(name: str, status: str, reason: str = "") -> dict[str, Any]:
    conditions = [{"type": "Available", "status": status, "reason": reason}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_which_apis_are_away() -> None:
    counts = Counts()
    up, down = service("a", "True", "Passed"), service("a", "False", "FailedDiscoveryCheck")
    unknown = {"metadata": {"name": "a"}}
    for before, after in ((up, down), (down, down), (down, up), (up, down), (unknown, down), (up, unknown)):
        counts.changed(before, after)
    found = numbers(counts.collect([down, service("b", "True")]))
    assert {key: value for key, value in found.items() if "discovery" not in key} == {
        "aggregator_unavailable_apiservice/a": 1, "aggregator_unavailable_apiservice/b": 0,
        "aggregator_unavailable_apiservice_total/a/FailedDiscoveryCheck": 2,
        "aggregator_unavailable_apiservice_total/a/UnknownReason": 1,
    }  # fmt: skip
