"""Whose the replicas of a Scale are, there and back: the rows of upstream's tables, without a server."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import TABLE
from tiphys.apiserver.registry.ownership import object_managers, scale_managers

TIME = "2013-02-03T00:00:00Z"
REPLICAS, SELECTOR = "replicas", "selector"
Entry = dict[str, Any]


def entry(who: str, *fields: str, version: str = "apps/v1", time: str = "", in_status: bool = False) -> Entry:
    """Return an entry of an applier, or of an updater where its name begins with ``+``; ``/`` is its part."""
    name, _, part = who.lstrip("+").partition("/")
    result: Entry = {
        "manager": name,
        "operation": "Update" if who.startswith("+") else "Apply",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status" if in_status else "f:spec": {f"f:{field}": {} for field in fields}},
    }
    return result | ({"time": time} if time else {}) | ({"subresource": part} if part else {})


def scaled(who: str, *fields: str, **options: Any) -> Entry:
    return entry(who, *(fields or (REPLICAS,)), version="autoscaling/v1", **options)


def deployments() -> Resource:
    found = TABLE.by_kind(GVK("apps", "v1", "Deployment"))
    assert found is not None
    return found


def obj(managers: list[Entry]) -> dict[str, Any]:
    return {"metadata": {"name": "o", "managedFields": managers}}


SHOWN = {
    "one of two": (
        [entry("one", "other"), entry("two", REPLICAS, time=TIME)],
        [scaled("two", time=TIME)],
    ),
    "all": (
        [entry("one", REPLICAS), entry("two", REPLICAS), entry("three/scale", REPLICAS)],
        [scaled("one"), scaled("three/scale"), scaled("two")],
    ),
    "of a version that is not known": ([entry("one", REPLICAS, version="apps/v10")], []),
}


@pytest.mark.parametrize("case", SHOWN)
def test_who_owns_a_scale(case: str) -> None:
    managers, shown = SHOWN[case]
    assert scale_managers(obj(managers), deployments()) == shown


BOTH = (REPLICAS, SELECTOR)
TAKEN = {
    # the object's before, the Scale's after its write, the object's then
    "an applier's by an updater": (
        [entry("test", *BOTH)],
        [scaled("+scale/scale")],
        [entry("test", SELECTOR), entry("+scale/scale", REPLICAS)],
    ),
    "an applier's by an applier": (
        [entry("test", *BOTH)],
        [scaled("scale/scale")],
        [entry("scale/scale", REPLICAS), entry("test", SELECTOR)],
    ),
    "an updater's by an updater": (
        [entry("+test", *BOTH)],
        [scaled("+scale/scale")],
        [entry("+scale/scale", REPLICAS), entry("+test", SELECTOR)],
    ),
    "an updater's by an applier": (
        [entry("+test", *BOTH)],
        [scaled("scale/scale")],
        [entry("scale/scale", REPLICAS), entry("+test", SELECTOR)],
    ),
    "its own, applied": (
        [entry("test", *BOTH)],
        [scaled("test/scale")],
        [entry("test", SELECTOR), entry("test/scale", REPLICAS)],
    ),
    "its own, updated": (
        [entry("+test", *BOTH)],
        [scaled("+test/scale")],
        [entry("+test", SELECTOR), entry("+test/scale", REPLICAS)],
    ),
    "its own, updated and now applied": (
        [entry("+test", *BOTH)],
        [scaled("test/scale")],
        [entry("test/scale", REPLICAS), entry("+test", SELECTOR)],
    ),
    "its own, applied and now updated": (
        [entry("test", *BOTH)],
        [scaled("+test/scale")],
        [entry("test", SELECTOR), entry("+test/scale", REPLICAS)],
    ),
    "nobody's": (
        [entry("test", SELECTOR)],
        [scaled("+scale/scale", REPLICAS, in_status=True)],
        [entry("test", SELECTOR)],
    ),
    "all that another had": (
        [entry("test", REPLICAS)],
        [scaled("+scale/scale")],
        [entry("+scale/scale", REPLICAS)],
    ),
    "shared": (
        [entry("test", *BOTH)],
        [scaled("test"), scaled("test/scale")],
        [entry("test", *BOTH), entry("test/scale", REPLICAS)],
    ),
    "of a version that is not known": (
        [entry("test", REPLICAS), entry("another", SELECTOR, version="apps/v10")],
        [scaled("+scale")],
        [entry("+scale", REPLICAS)],
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_who_takes_a_scale_owns_the_replicas(case: str) -> None:
    before, scale, after = TAKEN[case]
    assert object_managers(obj(before), obj(scale), deployments()) == after


def custom(**paths: str) -> Resource:
    """Return a kind whose versions keep their replicas in these places, or have no Scale."""
    definition = SimpleNamespace(
        schema_at=lambda version: True if version.removeprefix("mine/") in paths else None,
        scale_paths_at=lambda version: (
            SimpleNamespace(spec_replicas=found) if (found := paths[version.removeprefix("mine/")]) else None
        ),
    )
    gvk = GVK("mine", "v1", "Thing")
    return replace(deployments(), group=gvk.group, version="v1", kind=gvk.kind, definition=definition)


@pytest.mark.parametrize("second", ["spec.b", ""], ids=["two places", "no scale in the other"])
def test_who_takes_a_scale_owns_what_its_version_calls_it(second: str) -> None:
    others = ("b", SELECTOR) if second else ("c",)
    before = [
        entry("test", "a", SELECTOR, version="mine/v1"),
        entry("test-other", *others, version="mine/v2"),
    ]
    left = (SELECTOR,) if second else ("c",)
    after = object_managers(obj(before), obj([scaled("+scale/scale")]), custom(v1="spec.a", v2=second))
    assert after == [
        entry("test", SELECTOR, version="mine/v1"),
        entry("test-other", *left, version="mine/v2"),
        entry("+scale/scale", "a", version="mine/v1"),
    ]
