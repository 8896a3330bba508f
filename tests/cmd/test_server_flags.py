"""The API server's limits, addresses and ranges: what is taken, and what is said of the rest."""

from __future__ import annotations

import pytest

from tiphys.apiserver.options import ApiServerOptions
from tiphys.cmd.apiserver import apiserver, options_from
from tiphys.cmd.component import FlagError

_NEGATIVE = "can not be negative value"
_PORT = "must be between 1 and 65535, inclusive. It cannot be turned off with 0"
_FAMILIES = "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"
_FLOW = "conflicts with --enable-priority-and-fairness=true"
_OVERRIDES = (
    "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where servers are URLs, "
    "semicolon separated"
)
_ETCD = "--etcd-servers=http://127.0.0.1:2379"
V1 = "flowcontrol.apiserver.k8s.io/v1"
PORTS = "--service-node-port-range"
RANGE = "--service-cluster-ip-range"


def read(*line: str) -> ApiServerOptions:
    with apiserver.make_context("x", ["--advertise-address=192.0.2.7", *line]) as ctx, ctx.scope():
        return options_from(dict(ctx.params))


def of_ports(text: str, why: str) -> str:
    return f'invalid argument "{text}" for "{PORTS}" flag: {why}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--max-requests-inflight=-400"], f"--max-requests-inflight {_NEGATIVE}"),
        (["--max-mutating-requests-inflight=-200"], f"--max-mutating-requests-inflight {_NEGATIVE}"),
        (["--request-timeout=-2m"], f"--request-timeout {_NEGATIVE}"),
        (["--min-request-timeout=-1800"], f"--min-request-timeout {_NEGATIVE}"),
        (["--livez-grace-period=-1s"], "--livez-grace-period can not be a negative value"),
        (["--shutdown-delay-duration=-1s"], f"--shutdown-delay-duration {_NEGATIVE}"),
        (
            ["--shutdown-watch-termination-grace-period=-1s"],
            "shutdown-watch-termination-grace-period, if provided, can not be a negative value",
        ),
        (
            ["--max-requests-inflight=-1", "--min-request-timeout=-1", "--secure-port=0"],
            f"[--max-requests-inflight {_NEGATIVE}, --min-request-timeout {_NEGATIVE}, "
            f"--secure-port 0 {_PORT}]",
        ),
        (
            ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0"],
            "invalid configuration: MaxRequestsInFlight=0 and MaxMutatingRequestsInFlight=0; they must add "
            "up to something positive",
        ),
        (["--secure-port=70000"], f"--secure-port 70000 {_PORT}"),
        (
            ["--kubernetes-service-node-port=70000"],
            "--kubernetes-service-node-port 70000 must be between 0 and 65535, inclusive. If 0, the "
            "Kubernetes master service will be of type ClusterIP",
        ),
        (
            ["--kubernetes-service-node-port=80"],
            "kubernetes service node port range 30000-32767 doesn't contain 80",
        ),
        ([f"{RANGE}=10.0.0.0/16,11.0.0.0/16"], _FAMILIES),
        (
            [f"{RANGE}=2000::/108,3000::/108"],
            f'[{_FAMILIES}, service IP family "2000::/108" must match public address family "192.0.2.7"]',
        ),
        (
            [f"{RANGE}=10.0.0.0/16,3000::/108,10.1.0.0/16"],
            "--service-cluster-ip-range must not contain more than two entries",
        ),
        ([f"{RANGE}=bogus"], "service-cluster-ip-range[0] is not a valid cidr"),
        ([f"{RANGE}=10.0.0.0"], "service-cluster-ip-range[0] is not a valid cidr"),
        ([f"{RANGE}=,10.0.0.0/16"], "service-cluster-ip-range[0] is not a valid cidr"),
        ([f"{RANGE}=10.0.0.0/16,bogus"], "service-cluster-ip-range[1] is not an ip net"),
        (
            [f"{RANGE}=10.0.0.0/30"],
            "error determining service IP ranges for primary service cidr: "
            "the service cluster IP range must be at least 8 IP addresses",
        ),
        ([f"{PORTS}=x"], of_ports("x", 'strconv.Atoi: parsing "x": invalid syntax')),
        ([f"{PORTS}=1-"], of_ports("1-", 'strconv.Atoi: parsing "": invalid syntax')),
        ([f"{PORTS}=70000"], of_ports("70000", "the port range cannot be greater than 65535: 70000")),
        (
            [f"{PORTS}=60000-70000"],
            of_ports("60000-70000", "the port range cannot be greater than 65535: 60000-70000"),
        ),
        ([f"{PORTS}=1 - 2"], of_ports("1 - 2", 'strconv.Atoi: parsing "1 ": invalid syntax')),
        ([f"{PORTS}=-100"], of_ports("-100", 'strconv.Atoi: parsing "": invalid syntax')),
        ([f"{PORTS}=2-1"], of_ports("2-1", "end port cannot be less than start port: 2-1")),
        ([f"{PORTS}=1-2+3"], of_ports("1-2+3", "unable to parse port range: 1-2+3")),
        (["--runtime-config=api/all=false"], f"--runtime-config=api/all=false {_FLOW}"),
        (["--runtime-config=api/ga=false"], f"--runtime-config=api/ga=false {_FLOW}"),
        ([f"--runtime-config={V1}beta3=true,{V1}=false"], f"--runtime-config={V1}=false {_FLOW}"),
        (
            ["--advertise-address=bogus"],
            'invalid argument "bogus" for "--advertise-address" flag: failed to parse IP: "bogus"',
        ),
        (
            ["--bind-address=0.0.0.0,bogus"],
            'invalid argument "bogus" for "--bind-address" flag: failed to parse IP: "bogus"',
        ),
        (["--storage-initialization-timeout=-1s"], f"--storage-initialization-timeout {_NEGATIVE}"),
        (
            [
                "--min-request-timeout=-1",
                "--goaway-chance=1",
                "--request-timeout=-1s",
                "--storage-initialization-timeout=-1s",
                "--shutdown-delay-duration=-1s",
            ],
            f"[--request-timeout {_NEGATIVE}, --goaway-chance can not be less than 0 or greater than 0.02, "
            f"--min-request-timeout {_NEGATIVE}, --storage-initialization-timeout {_NEGATIVE}, "
            f"--shutdown-delay-duration {_NEGATIVE}]",
        ),
        (
            ["--storage-backend=etcd2"],
            "--storage-backend invalid, allowed values: etcd3. If not specified, it will default to 'etcd3'",
        ),
        ([_ETCD, "--etcd-servers-overrides=/events/http://127.0.0.1:4002"], _OVERRIDES),
        ([_ETCD, "--etcd-servers-overrides=events#http://127.0.0.1:4002"], _OVERRIDES),
        ([_ETCD, "--etcd-servers-overrides=/events#http://a,b#c", "--etcd-servers-overrides=d"], _OVERRIDES),
        (
            [
                "--store=sqlite:/nowhere/store.db",
                "--etcd-servers-overrides=/events#http://a",
                "--secure-port=0",
            ],
            f"[--etcd-servers must be specified, --secure-port 0 {_PORT}]",
        ),
        (
            ["--encryption-provider-config-automatic-reload"],
            "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config",
        ),
        (
            ["--storage-media-type=application/mock"],
            '--storage-media-type "application/mock" invalid, allowed values: application/json, '
            "application/vnd.kubernetes.protobuf, application/yaml",
        ),
        (
            ["--apiserver-count=0"],
            "--apiserver-count should be a positive number, but value '0' provided",
        ),
        (
            ["--emulation-forward-compatible"],
            "ServerRunOptions.EmulationForwardCompatible cannot be set to true if the emulation version is "
            "the same as the binary version",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(line: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        read(*line)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ([], "service_cluster_ip_ranges", ("10.96.0.0/12",)),
        ([f"{RANGE}="], "service_cluster_ip_ranges", ("10.0.0.0/24",)),
        ([f"{RANGE}=10.0.0.1/8"], "service_cluster_ip_ranges", ("10.0.0.0/8",)),
        ([f"{RANGE}=010.08.0.0/16"], "service_cluster_ip_ranges", ("10.8.0.0/16",)),
        ([f"{RANGE}=244.0.0.0/16"], "service_cluster_ip_ranges", ("244.0.0.0/16",)),
        ([f"{RANGE}=10.0.0.0/16,3000::/64"], "service_cluster_ip_ranges", ("10.0.0.0/16", "3000::/64")),
        (
            [f"{RANGE}=3000::/108,10.0.0.0/16", "--advertise-address=fd00::1"],
            "service_cluster_ip_ranges", ("3000::/108", "10.0.0.0/16"),
        ),
        (
            [f"{RANGE}=3000::/108", "--endpoint-reconciler-type=none"],
            "service_cluster_ip_ranges", ("3000::/108",),
        ),
        ([f"{PORTS}=30000-32767"], "service_node_port_range", (30000, 32767)),
        ([f"{PORTS}=30000+100"], "service_node_port_range", (30000, 30100)),
        ([f"{PORTS}=30000"], "service_node_port_range", (30000, 30000)),
        ([f"{PORTS}="], "service_node_port_range", (30000, 32767)),
        ([f"{PORTS}= 100-200 "], "service_node_port_range", (100, 200)),
        ([f"{PORTS}=0-0"], "service_node_port_range", (0, 0)),
        (["--kubernetes-service-node-port=30123"], "kubernetes_service_node_port", 30123),
        (["--max-connection-bytes-per-sec=9"], "max_connection_bytes_per_s", 9),
        (["--max-connection-bytes-per-sec=-1"], "max_connection_bytes_per_s", 0),
        (["--runtime-config=api/beta=false"], "priority_and_fairness", True),
        ([f"--runtime-config={V1}=true,api/ga=false"], "priority_and_fairness", True),
        (
            [f"--runtime-config={V1}=false", "--enable-priority-and-fairness=false"],
            "priority_and_fairness", False,
        ),
        ([], "advertise_address", "192.0.2.7"),
        (["--advertise-address=", "--bind-address=127.0.0.1,::1"], "advertise_address", "127.0.0.1"),
        (["--cors-allowed-origins="], "cors_allowed_origins", ()),
        (["--storage-backend=etcd3", "--storage-media-type=application/yaml"], "secure_port", 6443),
        ([_ETCD, "--etcd-servers-overrides=/events#http://a:1;http://b:2,a/b#http://c"], "secure_port", 6443),
        (["--store=etcd:http://a", "--etcd-servers-overrides=/events#http://b"], "secure_port", 6443),
        (["--emulation-forward-compatible", "--emulated-version=1.35"], "secure_port", 6443),
        (
            ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0",
             "--enable-priority-and-fairness=false"],
            "max_requests_inflight", 0,
        ),
        (["--shutdown-send-retry-after"], "shutdown_send_retry_after", True),
        (["--shutdown-delay-duration=3s"], "shutdown_delay_s", 3.0),
        (["--shutdown-watch-termination-grace-period=4s"], "shutdown_watch_grace_s", 4.0),
    ],
)  # fmt: skip
def test_taken(line: list[str], option: str, value: object) -> None:
    assert getattr(read(*line), option) == value
