"""Command lines of upstream's components: what is taken, told, and refused in upstream's words."""

from __future__ import annotations

import logging
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tiphys.client.leaderelection import LeadershipLost
from tiphys.cmd.apiserver import apiserver, options_from
from tiphys.cmd.component import Component, shown_flags
from tiphys.cmd.controller_manager import controller_manager
from tiphys.cmd.kubelet import kubelet
from tiphys.cmd.proxy import proxy
from tiphys.cmd.scheduler import scheduler
from tiphys.cmd.upstream_flags import flags_of, why_idle

COMMANDS = {
    "kube-apiserver": apiserver,
    "kube-controller-manager": controller_manager,
    "kube-scheduler": scheduler,
    "kube-proxy": proxy,
    "kubelet": kubelet,
}

KUBEADM = {
    "kube-apiserver": """
        --advertise-address=192.0.2.1 --allow-privileged=true --authorization-mode=Node,RBAC
        --client-ca-file={file} --enable-admission-plugins=NodeRestriction
        --enable-bootstrap-token-auth=true --etcd-cafile={file} --etcd-certfile={file} --etcd-keyfile={file}
        --etcd-servers=https://127.0.0.1:2379 --kubelet-client-certificate={file} --kubelet-client-key={file}
        --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname --proxy-client-cert-file={file}
        --proxy-client-key-file={file} --requestheader-allowed-names=front-proxy-client
        --requestheader-client-ca-file={file} --requestheader-extra-headers-prefix=X-Remote-Extra-
        --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User
        --secure-port=6443 --service-account-issuer=https://kubernetes.default.svc.cluster.local
        --service-account-key-file={file} --service-account-signing-key-file={file}
        --service-cluster-ip-range=10.96.0.0/12 --tls-cert-file={file} --tls-private-key-file={file}""",
    "kube-controller-manager": """
        --allocate-node-cidrs=true --authentication-kubeconfig={file} --authorization-kubeconfig={file}
        --bind-address=127.0.0.1 --client-ca-file={file} --cluster-cidr=10.244.0.0/16
        --cluster-name=kubernetes --cluster-signing-cert-file={file} --cluster-signing-key-file={file}
        --controllers=*,bootstrapsigner,tokencleaner --kubeconfig={file} --leader-elect=true
        --requestheader-client-ca-file={file} --root-ca-file={file}
        --service-account-private-key-file={file} --service-cluster-ip-range=10.96.0.0/12
        --use-service-account-credentials=true""",
    "kube-scheduler": """
        --authentication-kubeconfig={file} --authorization-kubeconfig={file} --bind-address=127.0.0.1
        --kubeconfig={file} --leader-elect=true""",
    "kube-proxy": "--hostname-override=n1 --kubeconfig={file}",
    "kubelet": """
        --bootstrap-kubeconfig={file} --kubeconfig={file}
        --container-runtime-endpoint=unix:///run/containerd/containerd.sock --hostname-override=n1
        --node-ip=192.0.2.1 --pod-infra-container-image=registry.k8s.io/pause:3.10.1""",
}
IDLE = {
    "kube-apiserver": [],
    "kube-controller-manager": ["cluster-name"],
    "kube-scheduler": [],
    "kube-proxy": [],
    "kubelet": ["pod-infra-container-image"],
}


def parsed(command: Component, *words: str) -> click.Context:
    return command.make_context(str(command.name), list(words))


def idle(context: click.Context) -> list[str]:
    return list(context.meta["tiphys.cmd.component"].idle)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_flags_of_kubeadm(name: str, tmp_path: Any) -> None:
    file = tmp_path / "file"
    file.touch()
    words = KUBEADM[name].format(file=file).split()
    assert idle(parsed(COMMANDS[name], *words)) == IDLE[name]


VALUES = {
    "bool": "true",
    "int": "1",
    "ints": "23",
    "float": "1",
    "duration": "1s",
    "map": "a=b",
    "modules": "a=1",
}
CHOSEN = {
    "tls-min-version": "VersionTLS13", "audit-log-format": "json", "leader-elect-resource-lock": "leases",
    "authorization-mode": "Webhook", "config": "", "cert-dir": "/nowhere",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_upstream_is_taken(name: str, tmp_path: Any) -> None:
    """Those that are files get one."""
    file = tmp_path / "file"
    file.touch()
    for flag, kind in flags_of(name).items():
        if flag in ("v", "version"):
            continue
        value = CHOSEN.get(flag, VALUES.get(kind, str(file)))
        needed = [] if name == "kube-apiserver" else ["--kubeconfig=x"]
        parsed(COMMANDS[name], *needed, f"--{flag}={value}")


@click.command("thing", cls=Component, upstream="kube-controller-manager")
@click.option("--controllers", default="*")
@click.option("--leader-elect", type=bool, default=True)
@click.option("--secure-port", type=int, default=1)
@click.option("--own", default="")
def thing(**flags: Any) -> None:
    click.echo(repr(sorted(flags.items())))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["--secure-port", "5"], {"secure_port": 5}, id="a word of its own"),
        pytest.param(["--secure_port=5"], {"secure_port": 5}, id="underscores"),
        pytest.param(["--leader-elect", "--own", "x"], {"leader_elect": True, "own": "x"}, id="bare boolean"),
        pytest.param(["--leader-elect=F"], {"leader_elect": False}, id="Go's booleans"),
        pytest.param(
            ["--controllers=a", "--controllers", "b,c"], {"controllers": "a,b,c"}, id="lists add up"
        ),
        pytest.param(["--own=--x=y"], {"own": "--x=y"}, id="a value with dashes"),
        pytest.param(["--secure-port=1", "--secure-port=2"], {"secure_port": 2}, id="the last one counts"),
        pytest.param(["-v", "4", "--own=x"], {"own": "x"}, id="verbosity"),
    ],
)
def test_forms(words: list[str], expected: dict[str, Any]) -> None:
    assert {**parsed(thing, *words).params, **expected} == parsed(thing, *words).params


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--no-such"], "unknown flag: --no-such"),
        (["--no-such=1"], "unknown flag: --no-such"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--own"], "flag needs an argument: --own"),
        (["-v"], "flag needs an argument: 'v' in -v"),
        (["word"], '"kube-controller-manager" does not take any arguments, got ["word"]'),
        (
            ["--secure-port=x"],
            'invalid argument "x" for "--secure-port" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--profiling=maybe"],
            'invalid argument "maybe" for "--profiling" flag: strconv.ParseBool: parsing "maybe": '
            "invalid syntax",
        ),
        (
            ["--node-eviction-rate=a"],
            'invalid argument "a" for "--node-eviction-rate" flag: strconv.ParseFloat: parsing "a": '
            "invalid syntax",
        ),
        (
            ["--min-resync-period=5"],
            'invalid argument "5" for "--min-resync-period" flag: time: missing unit in duration "5"',
        ),
        (
            ["--min-resync-period=5x"],
            'invalid argument "5x" for "--min-resync-period" flag: time: unknown unit "x" in duration "5x"',
        ),
        (["-v=a"], 'invalid argument "a" for "-v, --v" flag: strconv.ParseInt: parsing "a": invalid syntax'),
    ],
)
def test_refused_as_upstream_does(words: list[str], says: str) -> None:
    result = CliRunner().invoke(thing, words)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == f"Error: {says}"


def test_what_has_no_effect_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        result = CliRunner().invoke(thing, ["--profiling", "--cluster-name=a", "--cluster-name=b", "--own=x"])
    assert result.exit_code == 0
    assert caplog.messages == [
        "flag --profiling has no effect here: Go's profiles are of Go's programs",
        "flag --cluster-name has no effect here",
    ]  # fmt: skip


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(thing, ["--version"]).output == "Kubernetes v1.36.0\n"
    assert 'GitVersion:"v1.36.0"' in CliRunner().invoke(thing, ["--version=raw"]).output


def test_help_lists_the_flags_that_work() -> None:
    for word in ("--help", "-h"):
        output = CliRunner().invoke(thing, [word]).output
        assert "--controllers" in output
        assert "--cluster-name" not in output


def test_verbosity_turns_debug_lines_on() -> None:
    root = logging.getLogger()
    before = root.level
    try:
        CliRunner().invoke(thing, ["--v=5"])
        assert root.level == logging.DEBUG
    finally:
        root.setLevel(before)


def test_log_files_are_shown_unless_they_are_not_to_be() -> None:
    for line, shown in (([], True), (["--enable-logs-handler=false"], False)):
        with apiserver.make_context("x", ["--advertise-address=192.0.2.7", *line]) as ctx, ctx.scope():
            assert (options_from(dict(ctx.params)).logs_dir is not None) is shown


def test_every_idle_flag_of_the_api_server_says_why() -> None:
    own = {name.removeprefix("--") for one in apiserver.params for name in one.opts}
    read = {"v", "vmodule", "logging-format", "version"}
    http2 = {"disable-http2-serving", "http2-max-streams-per-connection", "goaway-chance"}
    flags = flags_of("kube-apiserver")
    idle = [name for name in flags if name not in own | read | http2]
    assert [name for name in idle if not why_idle("kube-apiserver", name)] == []
    assert [name for name in own if why_idle("kube-apiserver", name)] == []


@click.command("thing", cls=Component, upstream="kube-apiserver")
@click.option("--token", default="")
@click.option("--authentication-token-webhook-version", default="v1beta1")
@click.option("--authorization-mode", default="")
@click.option("--goaway-chance", default=0.0)
@click.option("--audit-webhook-batch-throttle-qps", default=2.5)
def shown(**_flags: str) -> dict[str, str]:
    return shown_flags()


def test_flags_that_are_shown() -> None:
    words = ["--v=2", "--vmodule=httplog=3,trace=2", "--token=hush", "--log-flush-frequency=7s"]
    words += ["--authorization-mode=Node,RBAC"]
    assert shown.main(words, standalone_mode=False) == {
        "audit-webhook-batch-throttle-qps": "2.5", "authorization-mode": "[Node,RBAC]", "goaway-chance": "0",
        "authentication-token-webhook-version": "v1beta1", "log-flush-frequency": "7s",
        "logging-format": "text", "token": "<redacted>", "v": "2", "vmodule": "httplog=3,trace=2",
    }  # fmt: skip


@click.command("deposed", cls=Component, upstream="kube-scheduler")
def deposed() -> None:
    raise LeadershipLost("lease kube-system/kube-scheduler")


def test_who_has_lost_an_election_ends_with_a_word_not_with_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    result = CliRunner().invoke(deposed, [])
    assert (result.exit_code, result.output) == (1, "")
    assert caplog.messages == ["leader election lost: lease kube-system/kube-scheduler"]
