"""``--feature-gates``, ``--runtime-config`` and TLS on the command lines of components."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import click
import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.client.front_proxies import ProxyHeaders
from tiphys.cmd import apiserver, controller_manager, kubelet, proxy, scheduler
from tiphys.cmd.component import FlagError
from tiphys.cmd.gate_flags import read_gates, read_tls
from tiphys.cmd.serving_flags import read_serving
from tiphys.wire.pki import make_ca

COMMANDS: list[tuple[click.Command, list[str]]] = [
    (apiserver.apiserver, []),
    (controller_manager.controller_manager, ["--kubeconfig=x"]),
    (scheduler.scheduler, []),
    (kubelet.kubelet, ["--kubeconfig=x"]),
    (proxy.proxy, []),
]
IDS = [command.name for command, _ in COMMANDS]


def flags_of(command: click.Command, *line: str) -> dict[str, Any]:
    with command.make_context("x", list(line)) as ctx:
        return dict(ctx.params)


@pytest.mark.parametrize(("command", "needed"), COMMANDS, ids=IDS)
def test_gates_add_up(command: click.Command, needed: list[str]) -> None:
    line = ["--feature-gates=WatchList=false", "--feature-gates", "kube:HPAScaleToZero=true"]
    gates = read_gates(flags_of(command, *needed, *line))
    assert not gates.enabled("WatchList")
    assert gates.enabled("HPAScaleToZero")


@pytest.mark.parametrize(("command", "needed"), COMMANDS, ids=IDS)
def test_a_wrong_gate_is_refused(command: click.Command, needed: list[str]) -> None:
    with pytest.raises(FlagError) as found:
        read_gates(flags_of(command, *needed, "--feature-gates=Nothing=true"))
    assert (found.value.message, found.value.exit_code) == ("unrecognized feature gate: Nothing", 1)


def test_gates_on_their_way_out_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    read_gates({"feature_gates": "SidecarContainers=true"})
    assert "Setting GA feature gate SidecarContainers=true." in caplog.text


WITH_TLS = COMMANDS[:-1]


@pytest.mark.parametrize(("command", "needed"), WITH_TLS, ids=IDS[:-1])
def test_tls(command: click.Command, needed: list[str]) -> None:
    suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    line = ["--tls-min-version=VersionTLS13", f"--tls-cipher-suites={suite}"]
    options = read_tls(flags_of(command, *needed, *line))
    assert options.minimum is ssl.TLSVersion.TLSv1_3
    assert options.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256",)
    assert read_tls(flags_of(command, *needed)).minimum is ssl.TLSVersion.TLSv1_2
    with pytest.raises(FlagError, match="Cipher suite NONE not supported or doesn't exist"):
        read_tls(flags_of(command, *needed, "--tls-cipher-suites=NONE"))


@pytest.mark.parametrize(("command", "needed"), WITH_TLS, ids=IDS[:-1])
def test_curves(command: click.Command, needed: list[str]) -> None:
    flag = "--tls-curve-preferences"
    options = read_tls(flags_of(command, *needed, f"{flag}=23,0x1d", f"{flag}=25"))
    assert options.curves == ("P-256", "X25519", "P-521")
    assert read_tls(flags_of(command, *needed)).curves == ()
    for value, why in (("P256", "invalid syntax"), ("4294967296", "value out of range")):
        with pytest.raises(FlagError) as found:
            flags_of(command, *needed, f"{flag}={value}")
        assert found.value.message == (
            f'invalid argument "{value}" for "{flag}" flag: strconv.ParseInt: parsing "{value}": {why}'
        )
    with pytest.raises(FlagError, match="duplicate curve preference 23"):
        read_tls(flags_of(command, *needed, f"{flag}=23,23"))


def test_an_endpoint_knows_its_gates_and_its_tls() -> None:
    line = ["--kubeconfig=x", "--tls-min-version=VersionTLS13", "--feature-gates=ComponentFlagz=false"]
    options = read_serving(flags_of(controller_manager.controller_manager, *line))
    assert options.tls.minimum is ssl.TLSVersion.TLSv1_3
    assert not options.gates.enabled("ComponentFlagz")


def test_an_endpoint_knows_its_front_proxies(tmp_path: Path) -> None:
    plain = read_serving(flags_of(controller_manager.controller_manager, "--kubeconfig=x"))
    assert (plain.proxies_ca, plain.proxy_headers) == (None, ProxyHeaders())
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(make_ca("ca", RealClock().now()).certificate)
    line = [
        f"--requestheader-client-ca-file={bundle}", "--requestheader-allowed-names=a,b",
        "--requestheader-username-headers=X-User", "--requestheader-uid-headers=X-Uid",
        "--requestheader-group-headers=X-Group", "--requestheader-extra-headers-prefix=X-Extra-",
    ]  # fmt: skip
    told = read_serving(flags_of(controller_manager.controller_manager, "--kubeconfig=x", *line))
    assert told.proxies_ca == bundle
    assert told.proxy_headers == ProxyHeaders(
        ("a", "b"), ("X-User",), ("X-Uid",), ("X-Group",), ("X-Extra-",)
    )


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("--client-ca-file", 'unable to load client CA provider: error loading CA bundle for "client-ca-'),
        (
            "--requestheader-client-ca-file",
            'unable to create request header authentication config: error loading CA bundle for "request-h',
        ),
    ],
)
def test_an_endpoint_needs_authorities_that_can_be_read(tmp_path: Path, flag: str, fault: str) -> None:
    bundle = tmp_path / "ca.crt"
    line = ["--kubeconfig=x", f"{flag}={bundle}"]
    with pytest.raises(click.FileError, match="No such file"):
        read_serving(flags_of(controller_manager.controller_manager, *line))
    bundle.write_text("x")
    with pytest.raises(FlagError, match=fault):
        read_serving(flags_of(controller_manager.controller_manager, *line))


def test_an_api_server_knows_what_it_was_told() -> None:
    line = ["--runtime-config=api/beta=false", "--runtime-config=apps/v1=false"]
    line.append("--feature-gates=WatchList=false")
    with apiserver.apiserver.make_context("x", line) as ctx, ctx.scope():
        options = apiserver.options_from(dict(ctx.params))
    assert options.runtime_config == {"api/beta": "false", "apps/v1": "false"}
    assert not options.feature_gates.enabled("WatchList")
    assert options.flags["runtime-config"] == "api/beta=false,apps/v1=false"
    assert options.flags["event-ttl"] == "1h0m0s"


def test_a_kubelet_reads_them_from_its_file(tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ntlsMinVersion: VersionTLS13\n"
        "featureGates: {NodeLogQuery: true}\ntlsCipherSuites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
    )
    options = kubelet.make_options(flags_of(kubelet.kubelet, "--kubeconfig=x", f"--config={path}"))
    assert options.server is not None
    assert options.server.gates.enabled("NodeLogQuery")
    assert options.server.tls.minimum is ssl.TLSVersion.TLSv1_3
    assert options.server.tls.ciphers == ("ECDHE-RSA-AES256-GCM-SHA384",)


def test_versions_to_behave_as() -> None:
    flags = {"feature_gates": "", "emulated_version": "kube=1.35", "min_compatibility_version": ""}
    gates = read_gates(flags)
    assert gates.effective.emulated == (1, 35)
    assert flags == {}
    with pytest.raises(FlagError, match=r"emulation version 1\.20 is not between \[1\.33, 1\.36\.0\]"):
        read_gates({"feature_gates": "", "emulated_version": "1.20"})
