"""Hostnames, resolvers and hosts files."""

import pytest
from pods import pod

from tiphys.kubelet.kuberuntime.network import (
    ResolvConf,
    dns_config,
    hostname,
    hosts_file,
    kernel_hostname,
    parse_resolv_conf,
)

NODE = ResolvConf(("192.0.2.53",), ("corp.test",), ("timeout:1",))
CLUSTER = ("10.0.0.10",)


def test_parse():
    text = "# c\nnameserver 1.1.1.1\nsearch a. b\nsearch c\noptions ndots:2 rotate\nnameserver\n"
    assert parse_resolv_conf(text) == ResolvConf(("1.1.1.1",), ("c",), ("ndots:2", "rotate"))


SEARCHES = ("ns.svc.x", "svc.x", "x", "corp.test")


@pytest.mark.parametrize(
    ("spec", "cluster", "expected"),
    [
        ({}, CLUSTER, ResolvConf(CLUSTER, SEARCHES, ("ndots:5",))),
        ({"dnsPolicy": "ClusterFirst"}, (), NODE),
        ({"dnsPolicy": "Default"}, CLUSTER, NODE),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, CLUSTER, NODE),
        (
            {"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True},
            CLUSTER,
            ResolvConf(CLUSTER, SEARCHES, ("ndots:5",)),
        ),
        ({"dnsPolicy": "None"}, CLUSTER, ResolvConf()),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.2.3.4"],
                    "searches": ["s"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            CLUSTER,
            ResolvConf(("1.2.3.4",), ("s",), ("ndots:2", "edns0")),
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["10.0.0.10", "1.2.3.4"],
                    "options": [{"name": "ndots", "value": "1"}],
                }
            },
            CLUSTER,
            ResolvConf(("10.0.0.10", "1.2.3.4"), SEARCHES, ("ndots:1",)),
        ),
    ],
)
def test_dns(spec, cluster, expected):
    assert dns_config(pod(**spec), NODE, cluster, "x") == expected


@pytest.mark.parametrize(
    ("spec", "expected", "kernel"),
    [
        ({}, ("p", ""), "p"),
        ({"hostname": "h"}, ("h", ""), "h"),
        ({"hostname": "h", "subdomain": "s"}, ("h", "s.ns.svc.x"), "h"),
        ({"subdomain": "s", "setHostnameAsFQDN": True}, ("p", "s.ns.svc.x"), "p.s.ns.svc.x"),
        ({"hostNetwork": True}, ("p", ""), ""),
        ({"hostnameOverride": "o"}, ("o", ""), "o"),
    ],
)
def test_hostname(spec, expected, kernel):
    assert hostname(pod(**spec), "x") == expected
    assert kernel_hostname(pod(**spec), "x") == kernel


def test_long_names_are_cut():
    assert hostname(pod(meta={"name": "a" * 62 + "-b"}), "x") == ("a" * 62, "")


def test_hosts_file():
    text = hosts_file(pod(hostname="h", subdomain="s"), ["10.0.0.5"], "x")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith("10.0.0.5\th.s.ns.svc.x\th\n")
    alias = pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    assert hosts_file(alias, [], "x").endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    own = hosts_file(pod(hostNetwork=True), [], "x", "127.0.0.1 me\n")
    assert own == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"
