"""``tiphys controller-manager``: flags into options, one ControllerManager until stopped.

Flags bear upstream's names; times take upstream's form (``40s``, ``5m``).
"""

from __future__ import annotations

from pathlib import Path

import click

from tiphys.client.endpoint import ComponentEndpoint, with_endpoint
from tiphys.client.rest import Client
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import election_flags, go_bool, read_election
from tiphys.cmd.loop import run
from tiphys.controllers.manager import ControllerManager, ControllerOptions
from tiphys.controllers.nodelifecycle.zones import Rates


@click.command(help="Run the controllers.")
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option(
    "--controllers", default="*", show_default=True, help="Comma-separated names; -name leaves one out."
)
@election_flags
@go_bool("--use-service-account-credentials", default=True, help="Run each controller with its own rights.")
@click.option("--root-ca-file", default="", help="CA to publish to every namespace.")
@click.option("--cluster-cidr", default="", help="Pod ranges to allot to nodes.")
@go_bool("--allocate-node-cidrs", default=True, help="Give each node a pod range.")
@click.option("--node-cidr-mask-size", default=24, show_default=True)
@click.option("--node-cidr-mask-size-ipv6", default=64, show_default=True)
@click.option("--node-monitor-period", type=DURATION, default="5s", show_default=True)
@click.option("--node-monitor-grace-period", type=DURATION, default="40s", show_default=True)
@click.option("--node-eviction-rate", default=0.1, show_default=True, help="Nodes a second to give up.")
@click.option("--secondary-node-eviction-rate", default=0.01, show_default=True, help="In disrupted zones.")
@click.option(
    "--unhealthy-zone-threshold", default=0.55, show_default=True, help="Share that disrupts a zone."
)
@click.option(
    "--large-cluster-size-threshold", default=50, show_default=True, help="Smaller zones do not evict."
)
@click.option("--horizontal-pod-autoscaler-sync-period", type=DURATION, default="15s", show_default=True)
@click.option("--terminated-pod-gc-threshold", default=12500, show_default=True)
@click.option("--service-account-private-key-file", default="", help="Accepted; the API server signs tokens.")
@click.option("--cluster-signing-cert-file", default="", help="CA that signs certificate requests.")
@click.option("--cluster-signing-key-file", default="", help="Its key.")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Of health and metrics.")
@click.option("--secure-port", default=10257, show_default=True, help="Of health and metrics; 0: none.")
def controller_manager(kubeconfig: str, bind_address: str, secure_port: int, **flags: object) -> None:
    run(_run(kubeconfig, options_from(flags), bind_address, secure_port))


def options_from(flags: dict[str, object]) -> ControllerOptions:
    """Turn parsed flags into options. Raises click.FileError for an unreadable CA."""
    lead, election = read_election(flags, "kube-controller-manager")
    pem = _read(str(flags["root_ca_file"]))
    cidr = str(flags["cluster_cidr"]) if flags["allocate_node_cidrs"] else ""
    return ControllerOptions(
        controllers=tuple(filter(None, str(flags["controllers"]).split(","))),
        use_service_account_credentials=bool(flags["use_service_account_credentials"]),
        leader_elect=lead,
        election=election,
        root_ca_pem=pem,
        signing_certificate_pem=_read(str(flags.get("cluster_signing_cert_file") or "")),
        signing_key_pem=_read(str(flags.get("cluster_signing_key_file") or "")),
        cluster_cidr=cidr,
        node_cidr_mask_size=int(str(flags["node_cidr_mask_size"])),
        node_cidr_mask_size_ipv6=int(str(flags["node_cidr_mask_size_ipv6"])),
        autoscaler_sync_s=float(str(flags.get("horizontal_pod_autoscaler_sync_period") or 15.0)),
        node_monitor_period_s=float(str(flags["node_monitor_period"])),
        node_monitor_grace_s=float(str(flags["node_monitor_grace_period"])),
        eviction_rates=Rates(
            usual=float(str(flags["node_eviction_rate"])),
            slow=float(str(flags["secondary_node_eviction_rate"])),
            unhealthy_share=float(str(flags["unhealthy_zone_threshold"])),
            large_zone=int(str(flags["large_cluster_size_threshold"])),
        ),
        terminated_pod_threshold=int(str(flags["terminated_pod_gc_threshold"])),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii") if path else ""
    except OSError as error:
        raise click.FileError(path, error.strerror or "") from error


async def _run(kubeconfig: str, options: ControllerOptions, address: str, port: int) -> None:
    client = Client.from_kubeconfig(kubeconfig, user_agent="tiphys-controller-manager")
    endpoint = ComponentEndpoint("kube-controller-manager", client)
    try:
        await with_endpoint(endpoint, address, port, ControllerManager(client, options).run())
    finally:
        await client.close()
