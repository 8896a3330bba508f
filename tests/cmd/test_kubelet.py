"""Flags into options."""

from pathlib import Path

import click
import pytest

from tiphys.cmd.kubelet import kubelet, make_options


def options(*flags):
    context = kubelet.make_context("kubelet", ["--kubeconfig=x", "--hostname-override=n1", *flags])
    values = dict(context.params)
    values.pop("kubeconfig")
    return make_options(values)


def test_flags():
    made = options(
        "--node-ip=192.0.2.1", "--root-dir=/r", "--log-root=/l", "--cluster-dns=10.0.0.10", "--port=0",
        "--node-labels=a=b", "--register-with-taints=k=v:NoSchedule,x:NoExecute", "--client-ca-file=/ca",
        "--container-runtime-endpoint=unix:///s", "--pod-manifest-path=/m",
    )  # fmt: skip
    assert (made.node_name, made.node_ips, made.root_dir, made.logs_dir) == (
        "n1",
        ("192.0.2.1",),
        Path("/r"),
        Path("/l"),
    )
    assert made.taints == (
        {"key": "k", "effect": "NoSchedule", "value": "v"},
        {"key": "x", "effect": "NoExecute"},
    )
    assert made.labels == {"a": "b"}
    assert made.static_pod_dir == Path("/m")
    assert made.server.client_ca == Path("/ca")
    assert made.server.certificate is None


def test_every_node_has_its_own_cgroups():
    assert options("--root-dir=/a").cgroup_root != options("--root-dir=/b").cgroup_root
    assert options("--cgroup-root=/x").cgroup_root == "/x"


@pytest.mark.parametrize("flag", ["--node-labels=a", "--register-with-taints=a"])
def test_refused(flag):
    with pytest.raises(click.BadParameter):
        options(flag)
