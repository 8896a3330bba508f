"""``tiphys controller-manager``: flags into options, one ControllerManager until stopped.

Flags bear upstream's names; times take upstream's form (``40s``, ``5m``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tiphys.apimachinery.collector import collect_seldom
from tiphys.client.endpoint import ComponentEndpoint, EndpointOptions, with_endpoint
from tiphys.cmd.component import Component
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import election_flags, go_bool, read_election
from tiphys.cmd.loop import run
from tiphys.cmd.reach import Reach
from tiphys.cmd.serving_flags import read_serving, serving_flags
from tiphys.controllers import configz
from tiphys.controllers.manager import ControllerManager, ControllerOptions, UnknownController, chosen
from tiphys.controllers.nodelifecycle.zones import Rates
from tiphys.wire.jwt_keys import SigningKey

_CONCURRENT = {
    "concurrent-cron-job-syncs": "cronjob-controller",
    "concurrent-daemonset-syncs": "daemonset-controller",
    "concurrent-deployment-syncs": "deployment-controller",
    "concurrent-endpoint-syncs": "endpoint-controller",
    "concurrent-gc-syncs": "garbage-collector-controller",
    "concurrent-job-syncs": "job-controller",
    "concurrent-namespace-syncs": "namespace-controller",
    "concurrent-rc-syncs": "replication-controller",
    "concurrent-replicaset-syncs": "replicaset-controller",
    "concurrent-service-endpoint-syncs": "endpoint-slice-controller",
    "concurrent-statefulset-syncs": "statefulset-controller",
}
"""Whose number of keys at once is set; the others need no more than they have."""
_SIGNERS = {
    "kube-apiserver-client": "kubernetes.io/kube-apiserver-client",
    "kubelet-client": "kubernetes.io/kube-apiserver-client-kubelet",
    "kubelet-serving": "kubernetes.io/kubelet-serving",
    "legacy-unknown": "kubernetes.io/legacy-unknown",
}


def _syncs(command: Callable[..., None]) -> Callable[..., None]:
    for flag in sorted(_CONCURRENT, reverse=True):
        command = click.option(f"--{flag}", type=click.IntRange(1), default=5, show_default=True)(command)
    return command


def _signer_files(command: Callable[..., None]) -> Callable[..., None]:
    for signer in reversed(_SIGNERS):
        for part in ("key", "cert"):
            command = click.option(f"--cluster-signing-{signer}-{part}-file", default="")(command)
    return command


@click.command(
    "controller-manager", cls=Component, upstream="kube-controller-manager", help="Run the controllers."
)
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--master", default="", help="The API server's address, in place of the kubeconfig's.")
@click.option(
    "--controllers", default="*", show_default=True, help="Comma-separated names; -name leaves one out."
)
@election_flags
@go_bool("--use-service-account-credentials", default=True, help="Run each controller with its own rights.")
@click.option("--root-ca-file", default="", help="CA to publish to every namespace.")
@click.option("--cluster-cidr", default="", help="Pod ranges to allot to nodes.")
@click.option("--service-cluster-ip-range", default="", help="Ranges of Services, kept out of those.")
@go_bool("--allocate-node-cidrs", default=False, help="Give each node a pod range.")
@click.option("--node-cidr-mask-size", default=0, help="Of a node's range; 24, of IPv6 64.")
@click.option("--node-cidr-mask-size-ipv4", default=0, help="The same with two families.")
@click.option("--node-cidr-mask-size-ipv6", default=0)
@click.option("--node-monitor-period", type=DURATION, default="5s", show_default=True)
@click.option("--node-monitor-grace-period", type=DURATION, default="50s", show_default=True)
@click.option("--node-startup-grace-period", type=DURATION, default="60s", show_default=True)
@click.option("--node-eviction-rate", default=0.1, show_default=True, help="Nodes a second to give up.")
@click.option("--secondary-node-eviction-rate", default=0.01, show_default=True, help="In disrupted zones.")
@click.option(
    "--unhealthy-zone-threshold", default=0.55, show_default=True, help="Share that disrupts a zone."
)
@click.option(
    "--large-cluster-size-threshold", default=50, show_default=True, help="Smaller zones do not evict."
)
@_syncs
@click.option("--horizontal-pod-autoscaler-sync-period", type=DURATION, default="15s", show_default=True)
@go_bool("--enable-hostpath-provisioner", default=False, help="Make folders of this machine for claims.")
@click.option("--hostpath-provisioner-dir", default="/tmp/hostpath_pv", show_default=True, help="Where.")
@click.option("--terminated-pod-gc-threshold", default=12500, show_default=True)
@click.option("--service-account-private-key-file", default="", help="Signs the tokens in Secrets.")
@click.option(
    "--legacy-service-account-token-clean-up-period",
    type=DURATION,
    default="8760h",
    show_default=True,
    help="How long an unused token in a Secret stays.",
)
@click.option("--cluster-signing-cert-file", default="", help="CA that signs certificate requests.")
@click.option("--cluster-signing-key-file", default="", help="Its key.")
@_signer_files
@click.option("--cluster-signing-duration", type=DURATION, default="8760h", show_default=True)
@serving_flags(10257)
def controller_manager(kubeconfig: str, master: str, **flags: Any) -> None:
    endpoint = read_serving(flags)
    asking = flags.pop("authentication_kubeconfig")
    given = {"kubeconfig": kubeconfig, **flags}
    options = replace(options_from(flags), gates=endpoint.gates)
    shown = configz.configuration(options, given, (endpoint.address, endpoint.port))
    endpoint = replace(endpoint, configuration={configz.GROUP: shown})
    collect_seldom()
    run(_run(Reach(kubeconfig, master, asking), options, endpoint))


def options_from(flags: dict[str, Any]) -> ControllerOptions:
    """Turn parsed flags into options. Raises click.FileError for an unreadable CA."""
    lead, election = read_election(flags, "kube-controller-manager")
    pem = _read(str(flags["root_ca_file"]))
    cidr = str(flags["cluster_cidr"]) if flags["allocate_node_cidrs"] else ""
    controllers = tuple(filter(None, str(flags["controllers"]).split(",")))
    try:
        chosen(controllers)
    except UnknownController as error:
        raise click.BadParameter(str(error), param_hint="--controllers") from error
    return ControllerOptions(
        controllers=controllers,
        use_service_account_credentials=bool(flags["use_service_account_credentials"]),
        leader_elect=lead,
        election=election,
        root_ca_pem=pem,
        service_account_key_pem=_signing_key(str(flags["service_account_private_key_file"])),
        legacy_token_clean_up_s=flags["legacy_service_account_token_clean_up_period"],
        signing_certificate_pem=_read(flags["cluster_signing_cert_file"]),
        signing_key_pem=_read(flags["cluster_signing_key_file"]),
        signers=_signers(flags),
        signing_duration_s=flags["cluster_signing_duration"],
        cluster_cidr=cidr,
        service_cidr=flags["service_cluster_ip_range"],
        node_cidr_mask_size=flags["node_cidr_mask_size_ipv4"] or flags["node_cidr_mask_size"] or 24,
        node_cidr_mask_size_ipv6=flags["node_cidr_mask_size_ipv6"] or flags["node_cidr_mask_size"] or 64,
        autoscaler_sync_s=flags["horizontal_pod_autoscaler_sync_period"],
        node_monitor_period_s=flags["node_monitor_period"],
        node_monitor_grace_s=flags["node_monitor_grace_period"],
        node_startup_grace_s=flags["node_startup_grace_period"],
        eviction_rates=Rates(
            usual=flags["node_eviction_rate"],
            slow=flags["secondary_node_eviction_rate"],
            unhealthy_share=flags["unhealthy_zone_threshold"],
            large_zone=flags["large_cluster_size_threshold"],
        ),
        hostpath_root=flags["hostpath_provisioner_dir"] if flags["enable_hostpath_provisioner"] else "",
        terminated_pod_threshold=flags["terminated_pod_gc_threshold"],
        concurrency={controller: flags[flag.replace("-", "_")] for flag, controller in _CONCURRENT.items()},
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii") if path else ""
    except OSError as error:
        raise click.FileError(path, error.strerror or "") from error


def _signing_key(path: str) -> str:
    pem = _read(path)
    try:
        if pem:
            SigningKey(pem.encode())
    except ValueError as error:
        text = f"error reading key for service account token controller: {error}"
        raise click.BadParameter(text, param_hint="--service-account-private-key-file") from error
    return pem


def _signers(flags: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the pairs of signers of their own. Raises click.UsageError for half a pair."""
    found = {}
    for short, signer in _SIGNERS.items():
        name = f"cluster-signing-{short}"
        paths = [flags[f"{name}-{part}-file".replace("-", "_")] for part in ("cert", "key")]
        if all(paths):
            found[signer] = (_read(paths[0]), _read(paths[1]))
        elif any(paths):
            missing = "key" if paths[0] else "cert"
            given = "cert" if paths[0] else "key"
            raise click.UsageError(f"--{name}-{given}-file is specified without --{name}-{missing}-file")
    return found


async def _run(reach: Reach, options: ControllerOptions, endpoint: EndpointOptions) -> None:
    async with reach.clients("kube-controller-manager") as (client, asking):
        manager = ControllerManager(client, options)
        served = ComponentEndpoint("kube-controller-manager", asking, options=endpoint, checks=manager.checks)
        await with_endpoint(served, manager.run())
