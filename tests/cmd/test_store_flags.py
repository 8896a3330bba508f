"""Which other stores the API server's flags name, and for how long it waits for its stores."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tiphys.apiserver.options import ApiServerOptions
from tiphys.cmd.apiserver import apiserver
from tiphys.cmd.store_flags import open_elsewhere, store_options
from tiphys.storage.etcd import EtcdStore


@pytest.mark.parametrize(
    ("flag", "name", "usual_s"),
    [
        ("storage-initialization-timeout", "storage_initialization_s", 60.0),
        ("etcd-healthcheck-timeout", "store_check_s", 2.0),
        ("etcd-readycheck-timeout", "store_ready_check_s", 2.0),
    ],
)
def test_times(flag: str, name: str, usual_s: float) -> None:
    for line, wanted_s in (([], usual_s), ([f"--{flag}=1m30s"], 90.0)):
        with apiserver.make_context("apiserver", line) as context:
            assert store_options(context.params)[name] == wanted_s
    assert getattr(ApiServerOptions(), name) == usual_s


def test_a_check_without_time_has_the_usual_one() -> None:
    line = ["--etcd-healthcheck-timeout=0s", "--etcd-readycheck-timeout=0s"]
    with apiserver.make_context("apiserver", line) as context:
        found = store_options(context.params)
    assert (found["store_check_s"], found["store_ready_check_s"]) == (2.0, 2.0)


def elsewhere(*overrides: str) -> dict[tuple[str, str], EtcdStore]:
    line = [f"--etcd-servers-overrides={one}" for one in overrides]
    with apiserver.make_context("apiserver", [*line, "--etcd-prefix=blue"]) as context:
        found: Any = open_elsewhere(context.params)
    assert all(store._keys.encode("/registry/a") == b"/blue/a" for store in found.values())
    return found  # type: ignore[no-any-return]


def members(stores: dict[tuple[str, str], EtcdStore]) -> dict[tuple[str, str], list[str]]:
    return {kind: [name for name, _ in store._client._endpoints] for kind, store in stores.items()}


def test_stores_of_some_resources() -> None:
    found = elsewhere(
        "/events#http://a;http://b:1,coordination.k8s.io/*#http://c", "/secrets#http://b:1;http://a"
    )
    assert members(found) == {
        ("", "events"): ["a", "b:1"],
        ("coordination.k8s.io", "*"): ["c"],
        ("", "secrets"): ["a", "b:1"],
    }
    assert len(set(found.values())) == 2, "the same servers are one store"


def test_the_last_override_of_a_resource_counts() -> None:
    assert members(elsewhere("/events#http://a", "/events#http://b")) == {("", "events"): ["b"]}
    assert elsewhere() == {}


def test_servers_are_urls() -> None:
    with pytest.raises(click.BadParameter) as refused:
        elsewhere("/events#ftp://a")
    assert refused.value.param_hint == "--etcd-servers-overrides"
