# ruff: noqa: E501 (tables of cases read better with one line each)
"""Who may speak to whom: policies, pods and namespaces to rules, and connections through them."""

from __future__ import annotations

import pytest
from policy_made import make_pod, policy
from policy_tracer import Connection, passes

from tiphys.proxy.diff import transaction
from tiphys.proxy.policies import Cluster, plan
from tiphys.proxy.policy_objects import pod_of, policy_of
from tiphys.proxy.ruleset import render

NAMESPACES = {"x": {"team": "x"}, "y": {"team": "y"}, "z": {"team": "z"}}
ADDRESSES = {
    "x/a": "10.1.0.1", "x/b": "10.1.0.2", "x/far": "10.1.1.1",
    "y/a": "10.1.0.11", "y/b": "10.1.0.12", "z/a": "10.1.0.21", "world": "192.0.2.7",
}  # fmt: skip


PODS = [
    make_pod("x", "a", "10.1.0.1", ports=[("web", 8080)]),
    make_pod("x", "b", "10.1.0.2", ports=[("web", 9090)]),
    make_pod("x", "far", "10.1.1.1", node="n2", ports=[("web", 7070)]),
    make_pod("y", "a", "10.1.0.11", ports=[("web", 8181)]),
    make_pod("y", "b", "10.1.0.12"),
    make_pod("z", "a", "10.1.0.21"),
]


def cluster(pods=PODS):
    return Cluster(
        {f"{p['metadata']['namespace']}/{p['metadata']['name']}": pod_of(p) for p in pods}, NAMESPACES
    )


def table(*policies, pods=PODS, node="n1", family="IPv4"):
    return plan([policy_of(item) for item in policies], cluster(pods), node, family)


def allowed(made, source, target, port=80, proto="tcp"):
    return passes(made, Connection(ADDRESSES[source], ADDRESSES[target], port, proto))


def pod_peer(name):
    return {"podSelector": {"matchLabels": {"pod": name}}}


def namespace_peer(team, **more):
    return {"namespaceSelector": {"matchLabels": {"team": team}}, **more}


DENY = {"policyTypes": ["Ingress"]}
IN = {"policyTypes": ["Ingress"]}
OUT = {"policyTypes": ["Egress"]}


@pytest.mark.parametrize(
    ("policies", "yes", "no"),
    [
        pytest.param([policy(**DENY)], ["x/a y/a", "x/a world", "x/a x/far"], ["y/a x/a", "world x/b", "x/a x/b"],
                     id="nobody may come in"),
        pytest.param([policy(pods="a", **DENY)], ["y/a x/b"], ["y/a x/a"], id="to some pods only"),
        pytest.param([policy(**OUT)], ["y/a x/a"], ["x/a y/a", "x/b world", "x/a x/b"], id="nothing may go out"),
        pytest.param([policy(policyTypes=["Ingress", "Egress"])], ["y/a y/b"], ["x/a y/a", "y/a x/a"], id="neither"),
        pytest.param([policy(ingress=[{}], **IN)], ["y/a x/a", "world x/a"], [], id="everybody may come in"),
        pytest.param([policy(egress=[{}], **OUT)], ["x/a y/a", "x/a world"], [], id="everything may go out"),
        pytest.param([policy(ingress=[{"from": []}], **IN)], ["world x/a"], [], id="an empty list of peers"),
        pytest.param([policy(pods="a", ingress=[{"from": [pod_peer("b")]}], **IN)], ["x/b x/a"], ["y/b x/a", "x/far x/a"],
                     id="pods of the own namespace"),
        pytest.param([policy(ingress=[{"from": [namespace_peer("y")]}], **IN)], ["y/a x/a", "y/b x/b"], ["z/a x/a", "x/b x/a"],
                     id="a namespace"),
        pytest.param([policy(ingress=[{"from": [{"namespaceSelector": {}}]}], **IN)], ["y/a x/a", "x/b x/a"], ["world x/a"],
                     id="all namespaces"),
        pytest.param([policy(ingress=[{"from": [namespace_peer("y", **pod_peer("a"))]}], **IN)], ["y/a x/a"],
                     ["y/b x/a", "z/a x/a", "x/a x/b"], id="some pods of a namespace"),
        pytest.param([policy(ingress=[{"from": [namespace_peer("y"), pod_peer("b")]}], **IN)], ["y/a x/a", "x/b x/a"],
                     ["z/a x/a", "x/far x/a"], id="either of two peers"),
        pytest.param([policy(ingress=[{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}], **IN)], ["world x/a"], ["y/a x/a"],
                     id="a range"),
        pytest.param([policy(ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.0/24", "192.0.2.0/28"]}}]}],
                             **IN)], ["y/a x/a"], ["world x/a"], id="a range but for a part of it"),
        pytest.param([policy(egress=[{"to": [{"ipBlock": {"cidr": "10.1.0.0/24", "except": ["10.1.0.11/32"]}}]}], **OUT)],
                     ["x/a y/b"], ["x/a y/a", "x/a world"], id="out to a range"),
        pytest.param([policy(egress=[{"to": [namespace_peer("y")]}], **OUT)], ["x/a y/a"], ["x/a z/a", "x/a x/b"],
                     id="out to a namespace"),
        pytest.param([policy(**DENY), policy("q", ingress=[{"from": [pod_peer("b")]}], **IN)], ["x/b x/a"], ["y/b x/a"],
                     id="policies add up"),
        pytest.param([policy(egress=[{}], **OUT), policy("q", namespace="y", **DENY)], ["x/a z/a"], ["x/a y/a"],
                     id="both ends must agree"),
        pytest.param([policy(**DENY)], ["x/a x/a"], [], id="a pod reaches itself"),
        pytest.param([policy(pods="far", **DENY)], ["y/a x/far"], [], id="pods of other nodes are theirs to guard"),
        pytest.param([policy(pods="none", **DENY)], ["y/a x/a"], [], id="selects nobody"),
        pytest.param([policy(ingress=[{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}], **IN)], [], ["world x/a"],
                     id="a range of the other family"),
    ],
)  # fmt: skip
def test_connections(policies, yes, no):
    made = table(*policies)
    assert {pair: allowed(made, *pair.split()) for pair in (*yes, *no)} == {
        **dict.fromkeys(yes, True),
        **dict.fromkeys(no, False),
    }


@pytest.mark.parametrize(
    ("ports", "yes", "no"),
    [
        ([{"port": 80}], ["80/tcp"], ["81/tcp", "80/udp"]),
        ([{"port": 80, "protocol": "UDP"}], ["80/udp"], ["80/tcp"]),
        ([{"port": 80}, {"port": 443}], ["80/tcp", "443/tcp"], ["444/tcp"]),
        ([{"port": 80, "endPort": 90}], ["80/tcp", "85/tcp", "90/tcp"], ["79/tcp", "91/tcp"]),
        ([{"port": 80, "endPort": 90}, {"port": 85, "endPort": 95}], ["95/tcp"], ["96/tcp"]),
        ([{"protocol": "TCP"}], ["1/tcp"], ["1/udp"]),
        ([{"protocol": "SCTP"}, {"port": 80}], ["1/sctp", "80/tcp"], ["81/tcp"]),
        ([{"port": "web"}], ["8080/tcp"], ["9090/tcp", "80/tcp"]),
        ([{"port": "web"}, {"port": 80}], ["8080/tcp", "80/tcp"], ["81/tcp"]),
        ([{"port": "none"}], [], ["8080/tcp", "80/tcp"]),
    ],
    ids=[
        "one", "another protocol", "two", "a range", "ranges that overlap", "a protocol", "protocols", "by name",
        "by name and number", "a name that nobody has",
    ],
)  # fmt: skip
def test_ports(ports, yes, no):
    made = table(policy(ingress=[{"ports": ports}], **IN))

    def open_to(text):
        port, _, proto = text.partition("/")
        return allowed(made, "y/a", "x/a", int(port), proto)

    assert [open_to(item) for item in yes] == [True] * len(yes)
    assert [open_to(item) for item in no] == [False] * len(no)


def test_a_named_port_is_the_receivers():
    made = table(policy(ingress=[{"ports": [{"port": "web"}]}], **IN))
    assert allowed(made, "y/a", "x/b", 9090)
    assert not allowed(made, "y/a", "x/b", 8080)


@pytest.mark.parametrize(
    ("to", "yes", "no"),
    [
        ([namespace_peer("y")], [("y/a", 8181)], [("y/a", 8080), ("x/b", 9090)]),
        (None, [("y/a", 8181), ("x/b", 9090), ("x/far", 7070)], [("x/b", 8080), ("world", 8181)]),
        ([{"ipBlock": {"cidr": "10.1.0.0/24"}}], [("y/a", 8181)], [("x/far", 7070)]),
    ],
    ids=["pods", "anybody", "a range"],
)
def test_named_ports_of_those_spoken_to(to, yes, no):
    rule = {"ports": [{"port": "web"}], **({"to": to} if to else {})}
    made = table(policy(egress=[rule], **OUT))
    for target, port in yes:
        assert allowed(made, "x/a", target, port)
    for target, port in no:
        assert not allowed(made, "x/a", target, port)


def test_replies_and_what_is_open_pass():
    made = table(policy(policyTypes=["Ingress", "Egress"]))
    reply = Connection(ADDRESSES["y/a"], ADDRESSES["x/a"], established=True)
    assert passes(made, reply)


def test_policy_types_by_default():
    inward = policy_of(policy())
    both = policy_of(policy(egress=[{}]))
    assert (inward.ingress, inward.egress) == ((), None)
    assert both.ingress == ()
    assert len(both.egress) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"phase": "Succeeded"},
        {"hostNetwork": True},
        {"ip": ""},
    ],
    ids=["ended", "in the node's network", "not started"],
)
def test_pods_that_are_nobodys_peer(changed):
    odd = make_pod("y", "a", changed.pop("ip", ADDRESSES["y/a"]), **changed)
    made = table(policy(ingress=[{"from": [namespace_peer("y")]}], **IN), pods=[PODS[0], odd])
    assert not allowed(made, "y/a", "x/a")
    made = table(policy(namespace="y", **DENY), pods=[PODS[0], odd])
    assert allowed(made, "x/a", "y/a")


def test_sidecars_have_named_ports():
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 15001}]}
    setup = {"name": "i", "ports": [{"name": "web", "containerPort": 1}]}
    made = make_pod("x", "a", "10.1.0.1", initContainers=[sidecar, setup])
    assert pod_of(made).ports == (("web", "TCP", 15001),)


def test_both_families():
    pods = [make_pod("x", "a", "2001:db8::1"), make_pod("y", "a", "2001:db8::2")]
    made = table(
        policy(ingress=[{"from": [{"ipBlock": {"cidr": "2001:db8:1::/48"}}]}], **IN), pods=pods, family="IPv6"
    )
    assert made.family == "ip6"
    assert not passes(made, Connection("2001:db8::2", "2001:db8::1"))
    assert passes(made, Connection("2001:db8:1::5", "2001:db8::1"))
    assert not table(policy(**DENY), pods=pods).elements


def test_another_pod_changes_elements_and_no_rules():
    one = policy(ingress=[{"from": [namespace_peer("y")]}], **IN)
    two = policy("q", ingress=[{"from": [namespace_peer("y")], "ports": [{"port": 80}]}], **IN)
    before = table(one, two)
    more = [*PODS, make_pod("y", "c", "10.1.0.13"), make_pod("x", "c", "10.1.0.3")]
    commands = transaction(before, table(one, two, pods=more))
    assert len([name for name in before.containers if name.startswith("pods-")]) == 1
    assert sorted(item.split(" { ")[0] for item in commands) == [
        "add element ip tiphys-policies ingress-pods",
        "add element ip tiphys-policies own-traffic",
        next(
            f"add element ip tiphys-policies {name}" for name in before.containers if name.startswith("pods-")
        ),
    ]


def test_pods_under_the_same_policies_share_a_chain():
    made = table(policy(**DENY), policy("q", pods="a", ingress=[{}], **IN))
    shared = [name for name in made.chains if name.startswith("ingress-of-")]
    assert len(shared) == 2
    assert all(len(name) <= 110 for name in made.chains)


def test_nothing_selected_nothing_guarded():
    made = table(policy(namespace="gone", **DENY))
    assert made.elements == {}


def test_the_table(golden):
    """The whole table of a node by how it reads: closed, opened to some, and allowed to go out to some."""
    made = table(
        policy("closed", **DENY),
        policy(
            "web", **IN, ingress=[{"from": [pod_peer("b"), namespace_peer("y")], "ports": [{"port": "web"}]}]
        ),
        policy(
            "out",
            **OUT,
            egress=[{"to": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}]}],
        ),
    )
    golden("policies.nft", render(made))
