"""Transactions: smallest when little changed, and always leading to the wanted table."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.proxy.diff import stale_flows, transaction
from tiphys.proxy.endpoints import NodeFacts
from tiphys.proxy.rules import plan_service, ruleset
from tiphys.proxy.ruleset import Fragment

NODE = NodeFacts("n1", ("172.29.0.2",), "", ("10.128.0.0/16",))


def test_nothing_changed_is_nothing_to_do(service: Any, endpoint_slice: Any) -> None:
    args = ([service()], [endpoint_slice("10.128.1.5")], NODE)
    assert transaction(ruleset(*args), ruleset(*args)) == []


def test_first_write_replaces_what_was_there(service: Any) -> None:
    commands = transaction(None, ruleset([service()], [], NODE))
    assert commands[:3] == [
        "add table ip kube-proxy",
        "delete table ip kube-proxy",
        "add table ip kube-proxy",
    ]


def test_new_endpoint_rewrites_one_chain(service: Any, endpoint_slice: Any) -> None:
    others = [service("other", clusterIP="10.64.0.30")]
    one = ruleset([service(), *others], [endpoint_slice("10.128.1.5")], NODE)
    two = ruleset([service(), *others], [endpoint_slice("10.128.1.5", "10.128.1.6")], NODE)
    chain = next(name for name in two.chains if name.startswith("cluster-") and "web" in name)
    assert transaction(one, two) == [
        f"flush chain ip kube-proxy {chain}",
        f"add rule ip kube-proxy {chain} meta l4proto tcp dnat ip to numgen random mod 2 map "
        "{ 0 : 10.128.1.5 . 8080, 1 : 10.128.1.6 . 8080 }",
        "add element ip kube-proxy hairpin-endpoints { 10.128.1.6 . 10.128.1.6 }",
    ]


def test_order_add_write_point_then_drop(service: Any, endpoint_slice: Any) -> None:
    old = ruleset([service()], [endpoint_slice("10.128.1.5")], NODE)
    new = ruleset([service("api")], [endpoint_slice("10.128.1.5", service="api")], NODE)
    kinds = [" ".join(command.split()[:2]) for command in transaction(old, new)]
    order = ["add chain", "add rule", "delete element", "add element", "flush chain", "delete chain"]
    assert [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind] == order


def test_dynamic_elements_are_left_to_the_kernel(service: Any, endpoint_slice: Any) -> None:
    sticky = service(sessionAffinity="ClientIP")
    commands = transaction(None, ruleset([sticky], [endpoint_slice("10.128.1.5")], NODE))
    assert not [
        command
        for command in commands
        if command.startswith("add element") and "affinity" in command.split()[4]
    ]


def test_changed_set_type_starts_over(service: Any, endpoint_slice: Any) -> None:
    def table(seconds: int) -> Any:
        config = {"clientIP": {"timeoutSeconds": seconds}}
        sticky = service(sessionAffinity="ClientIP", sessionAffinityConfig=config)
        return ruleset([sticky], [endpoint_slice("10.128.1.5")], NODE)

    assert transaction(table(10), table(20))[1] == "delete table ip kube-proxy"


@pytest.mark.parametrize(
    ("before", "after", "want"),
    [
        (["10.128.1.5"], ["10.128.1.5"], []),
        (["10.128.1.5", "10.128.1.6"], ["10.128.1.5"], [("10.64.0.20", "10.128.1.6", 53)]),
        ([], ["10.128.1.5"], [("10.64.0.20", "", 53)]),
        (["10.128.1.5"], [], [("10.64.0.20", "10.128.1.5", 53)]),
    ],
)
def test_stale_flows(service: Any, endpoint_slice: Any, before: Any, after: Any, want: Any) -> None:
    dns = service(ports=[{"name": "http", "port": 53, "protocol": "UDP"}])

    def plan(endpoints: Any) -> Fragment:
        return plan_service(dns, [endpoint_slice(*endpoints, protocol="UDP")], NODE)

    assert stale_flows(plan(before), plan(after)) == want
