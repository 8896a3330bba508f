"""Configuration files of the kubelet and the proxy: fields become flags, which beat them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.cmd import proxy_config
from tiphys.cmd.config_document import Kind, merge, parameters
from tiphys.cmd.kubelet import kubelet, make_options
from tiphys.cmd.kubelet_config import read
from tiphys.cmd.proxy import node_ports, proxy
from tiphys.kubelet.restarts import Pace

KUBEADM_KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {cacheTTL: 0s, enabled: true}
  x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
logging:
  flushFrequency: 0
  options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}
  verbosity: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
"""
HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def written(folder: Path, text: str, name: str = "config.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def kubelet_options(*words: str) -> Any:
    context = kubelet.make_context("kubelet", ["--kubeconfig=x", "--hostname-override=n1", *words])
    return make_options(context.params)


def test_kubeadms_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = kubelet_options(f"--config={written(tmp_path, KUBEADM_KUBELET)}")
    assert made.cluster_dns == ("10.96.0.10",)
    assert made.static_pod_dir == Path("/etc/kubernetes/manifests")
    assert made.server.client_ca == Path("/etc/kubernetes/pki/ca.crt")
    assert (made.server.healthz_address, made.server.healthz_port) == ("127.0.0.1", 10248)
    assert made.server.access.token_ttl_s == 120.0, "zero is the usual value"
    assert made.eviction_transition_s == 300.0
    assert made.runtime_endpoint == "unix:///run/containerd/containerd.sock"
    assert caplog.messages == ["fields of KubeletConfiguration that have no effect here: cgroupDriver"]


def test_all_that_a_file_sets(tmp_path: Path) -> None:
    text = (
        HEAD
        + """
address: 127.0.0.1
port: 10350
healthzPort: 10348
registerNode: false
registerWithTaints: [{key: a, value: b, effect: NoSchedule}, {key: c, effect: NoExecute}]
podLogsDir: /logs
resolvConf: /run/resolv.conf
nodeStatusUpdateFrequency: 5s
nodeStatusReportFrequency: 1m
nodeLeaseDurationSeconds: 20
imageGCHighThresholdPercent: 90
imageGCLowThresholdPercent: 70
cgroupRoot: /
maxPods: 50
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
evictionSoft: {pid.available: "10"}
evictionSoftGracePeriod: {pid.available: 1m}
evictionPressureTransitionPeriod: 1m
evictionMaxPodGracePeriod: 7
kubeReserved: {cpu: 100m}
systemReserved: {memory: 1Gi}
containerLogMaxSize: 1Mi
containerLogMaxFiles: 3
allowedUnsafeSysctls: [kernel.msg*, net.x]
containerRuntimeEndpoint: unix:///c
authentication: {anonymous: {enabled: true}, webhook: {enabled: false, cacheTTL: 3s}}
authorization: {mode: AlwaysAllow, webhook: {cacheAuthorizedTTL: 4s, cacheUnauthorizedTTL: 5s}}
"""
    )
    made = kubelet_options(f"--config={written(tmp_path, text)}")
    assert (made.server.address, made.server.port, made.server.healthz_port) == ("127.0.0.1", 10350, 10348)
    assert made.taints == (
        {"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c", "effect": "NoExecute"},
    )  # fmt: skip
    assert (made.register_node, made.max_pods, made.cgroup_root) == (False, 50, "/kubepods")
    assert (made.status_update_s, made.status_report_s, made.lease_duration_s) == (5.0, 60.0, 20)
    assert made.image_gc_percents == (90, 70)
    assert [(one.signal, one.text, one.grace_s) for one in made.thresholds] == [
        ("memory.available", "5%", None), ("nodefs.available", "1Gi", None), ("pid.available", "10", 60.0),
    ]  # fmt: skip
    assert (made.eviction_transition_s, made.eviction_max_grace_s) == (60.0, 7)
    assert made.reserved == ({"memory": "1Gi"}, {"cpu": "100m"})
    assert (made.log_max_bytes, made.log_max_files, made.logs_dir) == (2**20, 3, Path("/logs"))
    assert made.allowed_unsafe_sysctls == ("kernel.msg*", "net.x")
    access = made.server.access
    assert (access.anonymous, access.webhook_authentication, access.webhook_authorization) == (
        True, False, False,
    )  # fmt: skip
    assert (access.token_ttl_s, access.authorized_ttl_s, access.unauthorized_ttl_s) == (3.0, 4.0, 5.0)


def test_flags_beat_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "maxPods: 50\nport: 1\n")
    made = kubelet_options(f"--config={path}", "--max-pods=7")
    assert (made.max_pods, made.server.port) == (7, 1)


def test_drop_ins_are_laid_over_it_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "maxPods: 50\nevictionHard: {memory.available: 5%}\n")
    folder = tmp_path / "conf"
    folder.mkdir()
    written(folder, HEAD + "maxPods: 60\n", "10-a.conf")
    written(folder, HEAD + "maxPods: 70\nevictionHard: {nodefs.available: 1Gi}\n", "20-b.conf")
    written(folder, HEAD + "maxPods: 80\n", "ignored.yaml")
    found = read(path, str(folder))
    assert found == {"max_pods": 70, "eviction_hard": "memory.available<5%,nodefs.available<1Gi"}
    assert kubelet_options(f"--config-dir={folder}").max_pods == 70


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "maxPodz: 1\n", 'strict decoding error: unknown field "maxPodz"'),
        (
            HEAD + "authentication: {x509: {ca: a}}\nfoo: {bar: 1}\n",
            'strict decoding error: unknown field "foo.bar"',
        ),
        (
            "apiVersion: v1\nkind: Pod\n",
            'no kind "Pod" is registered for version "v1" in scheme',
        ),
    ],
)
def test_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        kubelet_options(f"--config={written(tmp_path, text)}")
    assert caught.value.message == says


def test_a_missing_file_is_told() -> None:
    with pytest.raises(click.FileError):
        kubelet_options("--config=/nowhere/config.yaml")


def test_the_proxys_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/k.conf, qps: 0}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null}
healthzBindAddress: ""
hostnameOverride: n7
iptables: {masqueradeAll: false, syncPeriod: 0s}
nftables: {masqueradeAll: true}
mode: nftables
nodePortAddresses: [192.0.2.0/24]
strange: 1
"""
    path = written(tmp_path, text)
    with caplog.at_level(logging.WARNING):
        found = proxy.make_context("proxy", [f"--config={path}"]).params
    assert (found["kubeconfig"], found["node_name"], found["cluster_cidr"]) == (
        "/var/lib/k.conf", "n7", "10.244.0.0/16",
    )  # fmt: skip
    assert found["nodeport_addresses"] == "192.0.2.0/24"
    assert found["healthz_bind_address"] == "0.0.0.0:10256"
    assert caplog.messages == [
        'unknown field "strange"',
        "fields of KubeProxyConfiguration that have no effect here: nftables.masqueradeAll",
    ]
    assert proxy_config.KIND.lenient


def test_the_proxys_node_ports() -> None:
    def of(text: str) -> tuple[str, ...]:
        return node_ports(
            proxy.make_context("proxy", [f"--nodeport-addresses={text}"]).params["nodeport_addresses"]
        )

    assert of("") == of("primary") == ()
    assert of("192.0.2.0/24,10.0.0.7") == ("192.0.2.0/24", "10.0.0.7")
    for bad in ("primary,10.0.0.7", "here"):
        with pytest.raises(click.BadParameter):
            of(bad)


def test_objects_are_merged_and_lists_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(base, {"a": {"c": [3]}, "d": {"e": 1}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_false_is_a_choice_and_zero_is_not() -> None:
    kind = Kind("g/v1", "K", {"on": "on", "number": "number", "text": "text"})
    document = {"apiVersion": "g/v1", "kind": "K", "on": False, "number": 0, "text": ""}
    assert parameters(document, kind) == {"on": False}


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("", None),
        ("crashLoopBackOff: {}", None),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 100s}", Pace(10.0, 100.0)),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 2s}", Pace(2.0, 2.0)),
        ("featureGates: {ReduceDefaultCrashLoopBackOffDecay: true}", Pace(1.0, 60.0)),
        (
            "featureGates: {ReduceDefaultCrashLoopBackOffDecay: true}\n"
            "crashLoopBackOff: {maxContainerRestartPeriod: 5m}",
            Pace(1.0, 300.0),
        ),
    ],
)
def test_how_fast_containers_start_anew(tmp_path: Path, text: str, pace: Pace | None) -> None:
    assert kubelet_options(f"--config={written(tmp_path, HEAD + text)}").restart_pace == pace


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "crashLoopBackOff: {maxContainerRestartPeriod: 301s}",
            "CrashLoopBackOff.MaxContainerRestartPeriod (got: 301 seconds) must be set between 1s and 300s",
        ),
        (
            "featureGates: {KubeletCrashLoopBackOffMax: false}\n"
            "crashLoopBackOff: {maxContainerRestartPeriod: 2s}",
            "FeatureGate KubeletCrashLoopBackOffMax not enabled, "
            "CrashLoopBackOff.MaxContainerRestartPeriod must not be set",
        ),
    ],
)
def test_paces_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        kubelet_options(f"--config={written(tmp_path, HEAD + text)}")
    assert caught.value.message == f"invalid configuration: {says}"
