"""Flags into options."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.cmd import kubelet_config
from tiphys.cmd.kubelet import kubelet, make_options
from tiphys.kubelet.server.routes import Handlers


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


def test_labels_that_no_kubelet_may_set_are_refused():
    allowed = (
        "a=b,x.example/y=z,node.kubernetes.io/pool=p,kubelet.kubernetes.io/x=,topology.kubernetes.io/zone=z"
    )
    assert len(options(f"--node-labels={allowed}").labels) == 5
    with pytest.raises(click.UsageError) as caught:
        options("--node-labels=a=b,node-role.kubernetes.io/x=,kops.k8s.io/y=z,kubernetes.io/other=q")
    assert (
        "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "
        "[kops.k8s.io/y kubernetes.io/other node-role.kubernetes.io/x]\n"
    ) in caught.value.message
    assert "an allowed prefix (kubelet.kubernetes.io, node.kubernetes.io)" in caught.value.message


def test_a_clouds_node():
    made = options("--cloud-provider=external", "--provider-id=aws:///i-1")
    assert (made.cloud, made.provider_id, made.addresses_given) == (True, "aws:///i-1", False)
    assert options("--node-ip=192.0.2.1").addresses_given
    assert not options().cloud


def test_addresses_of_the_node(caplog):
    assert options("--node-ip=192.0.2.1,fd00::1").node_ips == ("192.0.2.1", "fd00::1")
    own = options().node_ips
    for nobodys in ("0.0.0.0", "::"):
        made = options(f"--node-ip={nobodys}")
        assert (made.node_ips, made.addresses_given) == (own, False)
    assert options("--node-ip=here").node_ips == own
    assert "--node-ip is no address and left out value=here" in caplog.text
    for bad, why in (("192.0.2.1,192.0.2.2", "dual-stack pair"), ("192.0.2.1,::", "cannot include")):
        with pytest.raises(click.UsageError, match=why):
            options(f"--node-ip={bad}")


def test_shutdown_periods():
    found = options("--shutdown-grace-period=30s", "--shutdown-grace-period-critical-pods=10s")
    assert [(one.priority, one.grace_s) for one in found.shutdown_periods] == [(0, 20), (2_000_000_000, 10)]
    found = options("--shutdown-grace-period-by-pod-priority=0=5,1000=7")
    assert [(one.priority, one.grace_s) for one in found.shutdown_periods] == [(0, 5), (1000, 7)]
    for bad in ("--shutdown-grace-period-critical-pods=10s", "--shutdown-grace-period-by-pod-priority=a=b"):
        with pytest.raises(click.BadParameter):
            options(bad)


def test_every_node_has_its_own_cgroups():
    assert options("--root-dir=/a").cgroup_root != options("--root-dir=/b").cgroup_root
    assert options("--cgroup-root=/x").cgroup_root == "/x"
    assert not options("--cgroup-root=/x").shared_machine


def test_what_the_node_keeps_for_itself():
    made = options(
        "--kube-reserved=cpu=100m", "--system-reserved=memory=1Gi", "--eviction-hard=memory.available<5%",
        "--eviction-soft=pid.available<10", "--eviction-soft-grace-period=pid.available=1m",
        "--image-gc-high-threshold=90", "--container-log-max-size=1Mi", "--container-log-max-files=3",
    )  # fmt: skip
    assert made.reserved == ({"memory": "1Gi"}, {"cpu": "100m"})
    assert [(item.signal, item.text, item.grace_s) for item in made.thresholds] == [
        ("memory.available", "5%", None),
        ("pid.available", "10", 60.0),
    ]
    assert made.image_gc_percents == (90, 80)
    assert (made.log_max_bytes, made.log_max_files) == (2**20, 3)


@pytest.mark.parametrize(
    "flag",
    [
        "--node-labels=a",
        "--register-with-taints=a",
        "--eviction-hard=x<1",
        "--eviction-soft=memory.available<1",
        "--container-log-max-size=big",
    ],
)
def test_refused(flag):
    with pytest.raises(click.BadParameter):
        options(flag)


@pytest.mark.slow
def test_preloading_brings_most_but_no_grpc() -> None:
    script = (
        "import sys, tiphys.cmd.kubelet as kubelet; kubelet.preload(); before = set(sys.modules);"
        "import tiphys.kubelet.kubelet; late = {name for name in set(sys.modules) - before};"
        "print(sorted(name for name in late if name.startswith('tiphys') ),"
        " any(name.split('.')[0] in ('grpc', '_cython') for name in before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    late, with_grpc = done.stdout.rsplit(" ", 1)
    assert with_grpc.strip() == "False"
    assert late.count("tiphys.") < 12


def test_where_spans_go():
    assert options().tracing is None
    section = '{"endpoint": "c:4317", "samplingRatePerMillion": 5}'
    assert options(f"--tracing={section}").tracing == TracingOptions("c:4317", 5)
    text = "invalid configuration: tracing.samplingRatePerMillion: Invalid value: -1: sampling rate must be"
    with pytest.raises(click.UsageError) as raised:
        options('--tracing={"samplingRatePerMillion": -1}')
    assert str(raised.value) == f"{text} positive"


def test_parts_of_the_endpoint(tmp_path):
    assert options().server.handlers == Handlers()
    assert not options("--enable-debugging-handlers=false").server.handlers.debugging
    assert not options("--feature-gates=ContainerCheckpoint=false").server.handlers.checkpoint
    file = tmp_path / "config.yaml"
    file.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nenableSystemLogQuery: true\n"
        "enableProfilingHandler: false\nenableDebugFlagsHandler: false\nenableDebuggingHandlers: true\n"
    )
    assert kubelet_config.read(str(file)) == {
        "enable_system_log_query": True, "enable_profiling_handler": False,
        "enable_debug_flags_handler": False, "enable_debugging_handlers": True,
    }  # fmt: skip
    text = "invalid configuration: enableSystemLogHandler is required for enableSystemLogQuery"
    with pytest.raises(click.UsageError, match=text):
        options("--enable-system-log-query=true", "--enable-system-log-handler=false")
