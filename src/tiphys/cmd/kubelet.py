"""``tiphys kubelet``: flags into options, one Kubelet until stopped. Flags are upstream's where it can be."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import ipaddress
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import click

from tiphys.apimachinery.featuregates import FeatureGates
from tiphys.apimachinery.quantity import QuantityError, parse
from tiphys.apimachinery.tracing_config import BadTracing, TracingOptions
from tiphys.apimachinery.tracing_config import read as read_section
from tiphys.apis.core.node_labels import KUBELET_DOMAINS, KUBELET_LABELS, is_kubelet_label
from tiphys.client.rest import Client
from tiphys.client.useragent import user_agent
from tiphys.cmd import kubelet_config
from tiphys.cmd.component import Component, shown_flags
from tiphys.cmd.duration import DURATION
from tiphys.cmd.election_flags import go_bool
from tiphys.cmd.flag_lists import words
from tiphys.cmd.gate_flags import gate_flags, read_gates, read_tls, tls_flags
from tiphys.kubelet.certificate.client import Credentials, Rotation
from tiphys.kubelet.eviction.plan import DEFAULT_HARD, Threshold, parse_thresholds
from tiphys.kubelet.nodeshutdown.plan import ShutdownPeriod, period_faults, periods_of
from tiphys.kubelet.options import AccessOptions, KubeletOptions, ServerOptions
from tiphys.kubelet.restarts import Pace
from tiphys.kubelet.server.routes import Handlers

log = logging.getLogger(__name__)


@click.command(
    "kubelet", cls=Component, upstream="kubelet", configuration=kubelet_config.read, help="Run a node's pods."
)
@click.option("--kubeconfig", required=True, help="How to reach the API server.")
@click.option("--bootstrap-kubeconfig", default="", help="How to ask for a certificate when there is none.")
@go_bool("--rotate-server-certificates", default=False, help="Have the cluster sign the serving certificate.")
@click.option("--read-only-port", default=0, show_default=True, help="Without TLS or questions; 0: none.")
@go_bool("--rotate-certificates", default=False, help="Ask for a new certificate before the old one ends.")
@click.option(
    "--cert-dir", default="/var/lib/kubelet/pki", show_default=True, help="Where such ones are kept."
)
@click.option("--config", default="", help="A KubeletConfiguration.")
@click.option("--config-dir", default="", help="Folder of files (*.conf) that are laid over it.")
@click.option("--hostname-override", default="", help="The node's name; the host's otherwise.")
@click.option("--node-ip", default="", help="The node's addresses, separated by commas.")
@click.option("--root-dir", default="/var/lib/kubelet", show_default=True, help="Volumes and files of pods.")
@click.option(
    "--log-root", "--pod-logs-dir", default="/var/log/pods", show_default=True, help="Container logs."
)
@click.option(
    "--container-runtime-endpoint",
    default="unix:///run/containerd/containerd.sock",
    show_default=True,
    help="CRI socket.",
)
@click.option("--cluster-dns", default="", help="Addresses of the cluster's DNS, separated by commas.")
@click.option("--cluster-domain", default="cluster.local", show_default=True, help="Domain of the cluster.")
@click.option("--resolv-conf", default="/etc/resolv.conf", show_default=True, help="For dnsPolicy Default.")
@click.option("--cgroup-root", default="", help="Where pods' cgroups lie; one for each node otherwise.")
@click.option("--shared-machine", type=bool, default=False, hidden=True, help="It is not the only node here.")
@click.option("--node-labels", default="", help="key=value, separated by commas.")
@click.option("--cloud-provider", default="", help="'external': a cloud's controller knows the machine.")
@click.option("--provider-id", default="", help="What the cloud calls the machine.")
@click.option("--register-with-taints", default="", help="key=value:effect, separated by commas.")
@go_bool("--register-node", default=True, help="Create the Node object.")
@click.option("--max-pods", default=110, show_default=True, help="How many pods the node takes.")
@click.option("--capacity", default="", help="name=quantity, in place of what is found.")
@click.option("--kube-reserved", default="", help="name=quantity, kept from pods for Kubernetes.")
@click.option("--system-reserved", default="", help="name=quantity, kept from pods for the system.")
@click.option("--eviction-hard", default=DEFAULT_HARD, show_default=True, help="signal<least, by commas.")
@click.option("--eviction-soft", default="", help="signal<least, acted on after its grace period.")
@click.option("--eviction-soft-grace-period", default="", help="signal=duration, separated by commas.")
@click.option(
    "--eviction-max-pod-grace-period", default=0, show_default=True, help="Seconds, for soft thresholds."
)
@click.option(
    "--eviction-pressure-transition-period",
    type=DURATION,
    default="5m",
    show_default=True,
    help="How long a condition lasts.",
)
@click.option("--shutdown-grace-period", type=DURATION, default="0s", help="For all pods (SIGUSR1 begins).")
@click.option(
    "--shutdown-grace-period-critical-pods", type=DURATION, default="0s", help="Part of it for critical ones."
)
@click.option(
    "--shutdown-grace-period-by-pod-priority", default="", help="priority=seconds, separated by commas."
)
@click.option("--crash-loop-back-off-max", type=DURATION, hidden=True, help="A field of the configuration.")
@click.option("--tracing", default="", hidden=True, help="A section of the configuration, as JSON.")
@click.option("--image-gc-high-threshold", default=85, show_default=True, help="Percents of the disk.")
@click.option("--image-gc-low-threshold", default=80, show_default=True, help="Percents of the disk.")
@click.option(
    "--container-log-max-size", default="10Mi", show_default=True, help="A log is rotated beyond it."
)
@click.option("--container-log-max-files", default=5, show_default=True, help="Logs kept of a container.")
@click.option("--allowed-unsafe-sysctls", default="", help="Patterns, separated by commas.")
@click.option("--pod-manifest-path", default="", help="Folder of static pods.")
@click.option("--address", default="0.0.0.0", show_default=True, help="Where the endpoint listens.")
@click.option("--healthz-bind-address", default="127.0.0.1", show_default=True, help="Of plain health.")
@click.option("--healthz-port", default=10248, show_default=True, help="Of plain health; 0: none.")
@click.option("--node-status-update-frequency", type=DURATION, default="10s", show_default=True)
@click.option("--node-status-report-frequency", type=DURATION, default="5m", show_default=True)
@click.option("--node-lease-duration-seconds", default=40, show_default=True)
@click.option("--port", default=10250, show_default=True, help="Port of the endpoint.")
@click.option("--tls-cert-file", default="", help="Certificate of the endpoint; self-signed otherwise.")
@click.option("--tls-private-key-file", default="", help="Its key.")
@click.option("--client-ca-file", default="", help="Signs the clients of the endpoint.")
@tls_flags
@gate_flags
@go_bool("--anonymous-auth", default=False, help="Let anybody ask.")
@go_bool("--authentication-token-webhook", default=True, help="Ask whose.")
@click.option(
    "--authentication-token-webhook-cache-ttl", type=DURATION, default="2m", show_default=True, help="Kept."
)
@click.option(
    "--authorization-mode",
    type=click.Choice(["Webhook", "AlwaysAllow"]),
    default="Webhook",
    show_default=True,
    help="Who decides what callers may do.",
)
@click.option(
    "--authorization-webhook-cache-authorized-ttl",
    type=DURATION,
    default="5m",
    show_default=True,
    help="Kept.",
)
@click.option(
    "--authorization-webhook-cache-unauthorized-ttl",
    type=DURATION,
    default="30s",
    show_default=True,
    help="Kept.",
)
@go_bool("--enable-debugging-handlers", default=True, help="Logs, commands, streams: all but figures.")
@click.option("--enable-system-log-handler", type=bool, default=True, hidden=True)
@click.option("--enable-system-log-query", type=bool, default=False, hidden=True)
@click.option("--enable-profiling-handler", type=bool, default=True, hidden=True)
@click.option("--enable-debug-flags-handler", type=bool, default=True, hidden=True)
@click.option("--system-logs-dir", default="/var/log", show_default=True, help="What /logs/ shows.")
def kubelet(kubeconfig: str, bootstrap_kubeconfig: str, cert_dir: str, **flags: Any) -> None:
    rotation = Rotation(
        kubeconfig=Path(kubeconfig),
        bootstrap=bootstrap_kubeconfig,
        folder=Path(cert_dir),
        renew=flags["rotate_certificates"],
    )
    asyncio.run(_run(rotation, make_options({**flags, "cert_dir": cert_dir})))


def make_options(flags: dict[str, Any]) -> KubeletOptions:
    """Return the options that flags (by parameter name) mean. Raises click.BadParameter, FlagError."""
    name = flags["hostname_override"] or socket.gethostname().lower()
    root = Path(flags["root_dir"])
    # Nodes that share a machine must not take each other's cgroups for leftovers.
    own = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:8]
    given, manifests, gates = _node_ips(flags["node_ip"]), flags["pod_manifest_path"], read_gates(flags)
    return KubeletOptions(
        node_name=name,
        runtime_endpoint=flags["container_runtime_endpoint"],
        root_dir=root,
        logs_dir=Path(flags["log_root"]),
        node_ips=given or _own_addresses(),
        cluster_dns=words(flags["cluster_dns"]),
        cluster_domain=flags["cluster_domain"],
        resolv_conf=flags["resolv_conf"],
        cgroup_root=_cgroup_root(flags["cgroup_root"]) or f"/tiphys/{name}-{own}",
        shared_machine=flags["shared_machine"],
        status_update_s=flags["node_status_update_frequency"],
        status_report_s=flags["node_status_report_frequency"],
        lease_duration_s=flags["node_lease_duration_seconds"],
        labels=_labels(flags["node_labels"]),
        cloud=flags["cloud_provider"] == "external",
        addresses_given=bool(given),
        provider_id=flags["provider_id"],
        taints=tuple(_taint(text) for text in words(flags["register_with_taints"])),
        capacity=_pairs(flags["capacity"], "--capacity"),
        max_pods=flags["max_pods"],
        reserved=(
            _pairs(flags["system_reserved"], "--system-reserved"),
            _pairs(flags["kube_reserved"], "--kube-reserved"),
        ),
        thresholds=_thresholds(flags),
        eviction_transition_s=flags["eviction_pressure_transition_period"],
        eviction_max_grace_s=flags["eviction_max_pod_grace_period"],
        shutdown_periods=_shutdown_periods(flags),
        image_gc_percents=(flags["image_gc_high_threshold"], flags["image_gc_low_threshold"]),
        log_max_bytes=_bytes(flags["container_log_max_size"], "--container-log-max-size"),
        log_max_files=flags["container_log_max_files"],
        tracing=_tracing(flags["tracing"]),
        restart_pace=_pace(flags["crash_loop_back_off_max"], gates),
        register_node=flags["register_node"],
        allowed_unsafe_sysctls=words(flags["allowed_unsafe_sysctls"]),
        static_pod_dir=Path(manifests) if manifests else None,
        server=_server(flags, gates),
    )


def _server(flags: dict[str, Any], gates: FeatureGates) -> ServerOptions:
    return ServerOptions(
        address=flags["address"],
        port=flags["port"],
        certificate=_path(flags["tls_cert_file"]),
        key=_path(flags["tls_private_key_file"]),
        bootstrap=_serving_folder(flags),
        read_only_port=flags["read_only_port"],
        client_ca=_path(flags["client_ca_file"]),
        access=_access(flags),
        handlers=_handlers(flags, gates),
        system_logs_dir=Path(flags["system_logs_dir"]),
        healthz_address=flags["healthz_bind_address"],
        healthz_port=flags["healthz_port"],
        tls=read_tls(flags),
        flags=shown_flags(),
        gates=gates,
    )


def _access(flags: Mapping[str, Any]) -> AccessOptions:
    return AccessOptions(
        anonymous=flags["anonymous_auth"],
        webhook_authentication=flags["authentication_token_webhook"],
        webhook_authorization=flags["authorization_mode"] == "Webhook",
        token_ttl_s=flags["authentication_token_webhook_cache_ttl"],
        authorized_ttl_s=flags["authorization_webhook_cache_authorized_ttl"],
        unauthorized_ttl_s=flags["authorization_webhook_cache_unauthorized_ttl"],
    )


def _handlers(flags: Mapping[str, Any], gates: FeatureGates) -> Handlers:
    """Return which parts of the endpoint are on. Raises click.UsageError."""
    if flags["enable_system_log_query"] and not flags["enable_system_log_handler"]:
        text = "enableSystemLogHandler is required for enableSystemLogQuery"
        raise click.UsageError(f"invalid configuration: {text}")
    return Handlers(
        debugging=flags["enable_debugging_handlers"],
        system_logs=flags["enable_system_log_handler"],
        system_log_query=flags["enable_system_log_query"],
        profiling=flags["enable_profiling_handler"],
        debug_flags=flags["enable_debug_flags_handler"],
        checkpoint=gates.enabled("ContainerCheckpoint"),
    )


def _serving_folder(flags: Mapping[str, Any]) -> Path | None:
    """A certificate that is given needs no signature of the cluster."""
    asked = flags["rotate_server_certificates"] and not flags["tls_cert_file"]
    return Path(flags["cert_dir"]) if asked else None


def _cgroup_root(text: str) -> str:
    """Return where pods' cgroups lie: as upstream has it, ``kubepods`` below the root."""
    return "/kubepods" if text == "/" else text


def _thresholds(flags: Mapping[str, Any]) -> tuple[Threshold, ...]:
    try:
        return parse_thresholds(
            flags["eviction_hard"], flags["eviction_soft"], flags["eviction_soft_grace_period"]
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--eviction-hard, --eviction-soft") from error


def _tracing(text: str) -> TracingOptions | None:
    """Return where spans go. Raises click.UsageError."""
    try:
        return read_section(json.loads(text), "tracing") if text else None
    except BadTracing as error:
        raise click.UsageError(f"invalid configuration: {error}") from error


def _pace(longest_s: float | None, gates: FeatureGates) -> Pace | None:
    """Return how fast containers start anew, where it is not as usual. Raises click.UsageError."""
    initial_s, cap_s = (1.0, 60.0) if gates.enabled("ReduceDefaultCrashLoopBackOffDecay") else (10.0, 300.0)
    field = "CrashLoopBackOff.MaxContainerRestartPeriod"
    if longest_s is not None:
        if not gates.enabled(gate := "KubeletCrashLoopBackOffMax"):
            raise click.UsageError(
                f"invalid configuration: FeatureGate {gate} not enabled, {field} must not be set"
            )
        if not 1.0 <= longest_s <= 300.0:
            got = f"(got: {longest_s:g} seconds) must be set between 1s and 300s"
            raise click.UsageError(f"invalid configuration: {field} {got}")
        initial_s, cap_s = min(initial_s, longest_s), longest_s
    usual = (initial_s, cap_s) == (10.0, 300.0)
    return None if usual else Pace(initial_s, cap_s)


def _shutdown_periods(flags: Mapping[str, Any]) -> tuple[ShutdownPeriod, ...]:
    flag = "--shutdown-grace-period-by-pod-priority"
    try:
        periods = tuple(
            ShutdownPeriod(int(priority), int(seconds))
            for priority, seconds in _pairs(flags["shutdown_grace_period_by_pod_priority"], flag).items()
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from error
    total, critical = flags["shutdown_grace_period"], flags["shutdown_grace_period_critical_pods"]
    if faults := period_faults(total, critical, periods):
        raise click.BadParameter("; ".join(faults), param_hint="--shutdown-grace-period")
    return periods or periods_of(total, critical)


def _bytes(text: str, flag: str) -> int:
    try:
        return int(parse(text).value())
    except QuantityError as error:
        raise click.BadParameter(str(error), param_hint=flag) from error


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _pairs(text: str, flag: str) -> dict[str, str]:
    pairs = {}
    for part in words(text):
        key, equals, value = part.partition("=")
        if not equals:
            raise click.BadParameter(f"{part!r} is not name=value", param_hint=flag)
        pairs[key] = value
    return pairs


def _labels(text: str) -> dict[str, str]:
    """Return the labels for the node. Raises click.UsageError for those that the API lets no kubelet set."""
    labels = _pairs(text, "--node-labels")
    if refused := sorted(key for key in labels if not is_kubelet_label(key)):
        domains, keys = ", ".join(KUBELET_DOMAINS), ", ".join(sorted(KUBELET_LABELS))
        raise click.UsageError(
            "failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' labels specified with "
            f"--node-labels: [{' '.join(refused)}]\n--node-labels in the 'kubernetes.io' namespace must "
            f"begin with an allowed prefix ({domains}) or be in the specifically allowed set ({keys})"
        )
    return labels


def _taint(text: str) -> dict[str, str]:
    body, colon, effect = text.rpartition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} is not key=value:effect", param_hint="--register-with-taints")
    key, _, value = body.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def _node_ips(text: str) -> tuple[str, ...]:
    """Return the addresses that were asked for; none where the node is to find its own (``0.0.0.0``).

    Raises click.UsageError.
    """
    found = []
    for part in words(text):
        try:
            found.append(ipaddress.ip_address(part))
        except ValueError:
            log.warning("--node-ip is no address and left out value=%s", part)
    unspecified = any(one.is_unspecified for one in found)
    fault = ""
    if len(found) > 2 or len({one.version for one in found}) < len(found):
        fault = "must contain either a single IP or a dual-stack pair of IPs"
    elif unspecified and len(found) > 1:
        fault = "dual-stack node IP cannot include '0.0.0.0' or '::'"
    if fault:
        raise click.UsageError(f'failed to run Kubelet: bad --node-ip "{text}": {fault}')
    return () if unspecified else tuple(map(str, found))


def _own_addresses() -> tuple[str, ...]:
    """The address that this machine would use to reach others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ("127.0.0.1",)
        return (str(probe.getsockname()[0]),)


_LARGE = (
    "aiohttp",
    "google.protobuf.message_factory",
    "tiphys.kubelet.context",
    "tiphys.kubelet.cri.messages",
    "tiphys.kubelet.cm.device_messages",
    "tiphys.kubelet.housekeeping",
    "tiphys.kubelet.images.mount",
    "tiphys.kubelet.nodestatus.reporter",
    "tiphys.kubelet.images.pause",
    "tiphys.kubelet.allocation.pod_resize",
    "tiphys.kubelet.status.writer",
    "tiphys.kubelet.probes.state",
    "tiphys.kubelet.server.server",
    "tiphys.kubelet.nodeshutdown.manager",
    "tiphys.kubelet.static_pods",
    "tiphys.kubelet.volumes.manager",
)
"""What takes long to import and brings no gRPC along."""


def preload() -> None:
    """Import what a process may have before it forks into kubelets: nearly all but gRPC and its users."""
    for name in _LARGE:
        importlib.import_module(name)


async def _run(rotation: Rotation, options: KubeletOptions) -> None:
    # gRPC starts threads when it is imported: not before this process is its own.
    from tiphys.kubelet.kubelet import Kubelet

    credentials = Credentials(rotation, options.node_name)
    config = await credentials.obtain()
    client = Client(config.transport(), user_agent=user_agent("kubelet"))
    try:
        async with asyncio.TaskGroup() as tasks:
            if rotation.renew:
                tasks.create_task(credentials.keep(client, config))
            await Kubelet(client, options, shutdowns=_shutdowns()).run()
    finally:
        await client.close()


async def _shutdowns() -> AsyncIterator[bool]:
    """SIGUSR1 says that the machine is about to be shut down."""
    said = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, said.set)
    while True:
        await said.wait()
        said.clear()
        yield True
