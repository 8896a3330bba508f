"""What a peer serves by its documents, and what it is not asked about.

Source: upstream's tests of peer discovery and of the exclusion of group versions.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.peers.serving import (
    GRACE_S,
    Exclusions,
    Peer,
    able,
    aggregated,
    defined,
    pause_s,
    read,
    without,
)  # fmt: skip

CORE = {"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [{"resource": "pods"}]}]}]}
APPS: dict[str, Any] = {
    "metadata": {"name": "apps"},
    "versions": [
        {"version": "v1", "resources": [{"resource": "deployments"}]},
        {"version": "v1beta1", "resources": [{"resource": "deployments"}, {"resource": "scales"}]},
    ],
}
PEER = read([CORE, {"items": [APPS]}])


def test_read() -> None:
    assert PEER.resources == {
        ("", "v1", "pods"), ("apps", "v1", "deployments"), ("apps", "v1beta1", "deployments"),
        ("apps", "v1beta1", "scales"),
    }  # fmt: skip
    assert PEER.groups == (APPS,)
    assert PEER
    assert not read([])
    assert not read([{"items": []}, {}])


@pytest.mark.parametrize(
    "document",
    [{"items": [{}]}, {"items": [3]}, {"items": [{"metadata": {"name": "x"}, "versions": [{}, 1]}]}],
)
def test_what_is_no_document(document: Any) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        read([document])


EXCLUDED = {
    "nothing": (set(), {"v1", "v1beta1"}),
    "another group": ({("batch", "v1")}, {"v1", "v1beta1"}),
    "one version": ({("apps", "v1")}, {"v1beta1"}),
    "all of the group": ({("apps", "v1"), ("apps", "v1beta1")}, set()),
}


@pytest.mark.parametrize("name", EXCLUDED)
def test_without(name: str) -> None:
    excluded, want = EXCLUDED[name]
    found = without(PEER, frozenset(excluded))
    assert {one["version"] for group in found.groups for one in group["versions"]} == want
    assert {version for group, version, _ in found.resources if group == "apps"} == want
    assert ("", "v1", "pods") in found.resources
    assert len(found.groups) == bool(want)


def test_able() -> None:
    peers = {"b": PEER, "a": PEER, "c": Peer()}
    assert able(peers, ("apps", "v1", "deployments")) == ["a", "b"]
    assert able(peers, ("apps", "v1", "scales")) == []


def test_what_went_stays_excluded_for_a_while() -> None:
    one, other = ("a", "v1"), ("b", "v1")
    first = Exclusions().followed(frozenset({one, other}), 0.0)
    assert (set(first.all), first.next_end()) == ({one, other}, None)
    second = first.followed(frozenset({other}), 10.0)
    assert (set(second.all), second.next_end()) == ({one, other}, 10.0 + GRACE_S)
    third = second.followed(frozenset(), 20.0)
    assert third.reaped(10.0 + GRACE_S) is third
    assert third.reaped(11.0 + GRACE_S).all == {other}
    assert third.followed(frozenset({one}), 21.0 + GRACE_S).all == {one}


def test_what_is_excluded() -> None:
    versions = [{"name": "v1", "served": True}, {"name": "v2", "served": False}]
    assert defined({"spec": {"group": "g", "versions": versions}}) == {("g", "v1"), ("g", "v2")}
    remote = {"spec": {"group": "g", "version": "v1", "service": {"name": "s"}}}
    assert aggregated(remote) == {("g", "v1")}
    assert aggregated({"spec": {"group": "g", "version": "v1"}}) == frozenset()


def test_pauses() -> None:
    assert [pause_s(failures) for failures in (1, 2, 3, 18, 20, 21)] == [
        0.005, 0.01, 0.02, 0.005 * 2**17, 1000.0, None
    ]  # fmt: skip
