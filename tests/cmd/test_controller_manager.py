"""The controller manager's flags become options."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.client.endpoint import EndpointOptions
from tiphys.cmd import controller_manager as module
from tiphys.cmd.controller_manager import controller_manager, options_from
from tiphys.controllers.context import ControllerOptions
from tiphys.wire.pki import make_signing_key


def options(*words: str) -> ControllerOptions:
    return options_from(dict(controller_manager.make_context("c", ["--kubeconfig=x", *words]).params))


def test_ranges_of_nodes_are_upstreams() -> None:
    assert options("--cluster-cidr=10.0.0.0/8").cluster_cidr == "", "only where they are asked for"
    made = options(
        "--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/8", "--service-cluster-ip-range=10.1.0.0/16"
    )
    assert (made.cluster_cidr, made.service_cidr) == ("10.0.0.0/8", "10.1.0.0/16")
    assert (made.node_cidr_mask_size, made.node_cidr_mask_size_ipv6) == (24, 64)
    made = options("--node-cidr-mask-size=26")
    assert (made.node_cidr_mask_size, made.node_cidr_mask_size_ipv6) == (26, 26)
    made = options("--node-cidr-mask-size-ipv4=25", "--node-cidr-mask-size-ipv6=80")
    assert (made.node_cidr_mask_size, made.node_cidr_mask_size_ipv6) == (25, 80)


def test_it_looks_for_cycles_seldom_before_it_fills_its_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def run(work: Coroutine[Any, Any, None]) -> None:
        work.close()
        steps.append("run")

    monkeypatch.setattr(module, "collect_seldom", lambda: steps.append("seldom"))
    monkeypatch.setattr(module, "run", run)
    controller_manager.main(["--kubeconfig=x"], standalone_mode=False)
    assert steps == ["seldom", "run"]


def shown(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """Return what ``/configz`` shows of a manager that was started so."""
    found: list[EndpointOptions] = []

    async def start(_reach: object, _options: object, endpoint: EndpointOptions) -> None:
        found.append(endpoint)

    monkeypatch.setattr(module, "collect_seldom", lambda: None)
    monkeypatch.setattr(module, "_run", start)
    monkeypatch.setattr(module, "run", asyncio.run)
    controller_manager.main(["--kubeconfig=x", *words], standalone_mode=False)
    return dict(found[0].configuration)


def test_configuration_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("CA")
    usual = shown(monkeypatch)["kubecontrollermanager.config.k8s.io"]
    assert usual["Generic"] == {
        "Port": 10257, "Address": "0.0.0.0", "ClientConnection": {"Kubeconfig": "x"},
        "LeaderElection": {
            "LeaderElect": True, "LeaseDuration": "15s", "RenewDeadline": "10s", "RetryPeriod": "2s",
            "ResourceLock": "leases", "ResourceName": "kube-controller-manager",
            "ResourceNamespace": "kube-system",
        },
        "Controllers": ["*"],
    }  # fmt: skip
    assert usual["NodeLifecycleController"]["NodeMonitorGracePeriod"] == "50s"
    told = shown(
        monkeypatch,
        f"--root-ca-file={authority}", "--leader-elect=false", "--concurrent-rc-syncs=2",
        "--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/8",
        "--service-cluster-ip-range=10.1.0.0/16,fd::/112", "--node-monitor-grace-period=1m",
        "--secure-port=0",
    )["kubecontrollermanager.config.k8s.io"]  # fmt: skip
    assert told["Generic"]["LeaderElection"]["LeaderElect"] is False
    assert told["Generic"]["Port"] == 0
    assert told["SAController"]["RootCAFile"] == str(authority)
    assert told["ReplicationController"] == {"ConcurrentRCSyncs": 2}
    assert told["KubeCloudShared"]["ClusterCIDR"] == "10.0.0.0/8"
    assert told["KubeCloudShared"]["AllocateNodeCIDRs"] is True
    assert told["NodeIPAMController"]["SecondaryServiceCIDR"] == "fd::/112"
    assert told["NodeLifecycleController"]["NodeMonitorGracePeriod"] == "1m0s"


def test_how_many_at_once() -> None:
    made = options("--concurrent-deployment-syncs=9", "--concurrent-rc-syncs=2", "--concurrent-job-syncs=1")
    found = [
        made.workers_of(name)
        for name in (
            "deployment-controller",
            "replication-controller",
            "job-controller",
            "daemonset-controller",
        )
    ]
    assert found == [9, 2, 1, 5]


def test_authorities_of_signers(tmp_path: Path) -> None:
    words = []
    for name in ("cert", "key"):
        (tmp_path / name).write_text(name.upper())
        words.append(f"--cluster-signing-kubelet-client-{name}-file={tmp_path / name}")
    made = options(*words, "--cluster-signing-duration=24h")
    assert made.signers == {"kubernetes.io/kube-apiserver-client-kubelet": ("CERT", "KEY")}
    assert made.signing_duration_s == 86400.0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--cluster-signing-kubelet-client-cert-file=x"],
            "--cluster-signing-kubelet-client-cert-file is specified without "
            "--cluster-signing-kubelet-client-key-file",
        ),
        (["--controllers=*,nosuch"], '"nosuch" is not in the list of known controllers'),
    ],
)
def test_refused(words: list[str], says: Any) -> None:
    with pytest.raises(click.UsageError) as caught:
        options(*words)
    assert caught.value.message == says


def test_the_key_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "sa.key"
    path.write_bytes(make_signing_key())
    made = options(f"--service-account-private-key-file={path}")
    assert made.service_account_key_pem == path.read_text()
    assert made.legacy_token_clean_up_s == 365 * 86400
    path.write_text("nothing")
    with pytest.raises(click.BadParameter, match="error reading key for service account token controller"):
        options(f"--service-account-private-key-file={path}")


def test_how_long_unused_tokens_stay() -> None:
    made = options("--legacy-service-account-token-clean-up-period=48h")
    assert made.legacy_token_clean_up_s == 48 * 3600


@pytest.mark.parametrize(
    ("words", "root"),
    [
        ([], ""),
        (["--enable-hostpath-provisioner"], "/tmp/hostpath_pv"),
        (["--enable-hostpath-provisioner", "--hostpath-provisioner-dir=/x"], "/x"),
        (["--hostpath-provisioner-dir=/x"], ""),
    ],
)
def test_folders_are_made_for_claims_only_where_asked_for(words: list[str], root: str) -> None:
    assert options(*words).hostpath_root == root
