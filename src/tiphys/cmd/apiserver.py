"""``tiphys apiserver``: flags with upstream's names turned into options, certificates, a listening socket."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.collector import collect_seldom
from tiphys.apimachinery.families import CounterMetricFamily, Metric
from tiphys.apis.runtime_config import RuntimeConfigError, parse
from tiphys.apiserver import config_files
from tiphys.apiserver.audit.policy import BadPolicy
from tiphys.apiserver.authn.signer_client import SignerFailed
from tiphys.apiserver.encryption.providers import BadConfiguration
from tiphys.apiserver.observe.stored_objects import stored_rows
from tiphys.apiserver.options import ADDRESS_TYPES, ApiServerOptions
from tiphys.apiserver.registry.consistency import ConsistencyChecker
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.startup import Initializing
from tiphys.client.kubeconfig import ConfigError
from tiphys.cmd import server_flags
from tiphys.cmd.admission_flags import switched
from tiphys.cmd.audit_flags import audit_flags, audit_from
from tiphys.cmd.auth_flags import auth_flags, auth_options
from tiphys.cmd.component import Component, FlagError, shown_flags
from tiphys.cmd.duration import DURATION, SIGNED_DURATION
from tiphys.cmd.egress_flags import egress_from
from tiphys.cmd.gate_flags import emulation_flags, gate_flags, read_gates, read_tls, tls_flags
from tiphys.cmd.http2_flags import goaway_flag, http2_flags, read_limits
from tiphys.cmd.http_flags import http_flags, http_options
from tiphys.cmd.loop import run as run_loop
from tiphys.cmd.malloc import return_large_blocks
from tiphys.cmd.metrics_flags import apply_metrics, metrics_flags
from tiphys.cmd.peer_flags import peer_flags, peer_options
from tiphys.cmd.store_flags import open_elsewhere, open_store, store_flags, store_options
from tiphys.cmd.switch_flags import switch_flags, switch_options
from tiphys.storage.base import StoreUnavailable
from tiphys.wire import pki
from tiphys.wire.server import Server, serve
from tiphys.wire.serving_files import Files, Held, ServingFiles, make_context, named_pair, read

log = logging.getLogger(__name__)
_SWITCH_S = 0.0005
"""The store's writer asks for the interpreter after each statement: the usual 5 ms would hold up every commit
beside a busy loop."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def tune_interpreter() -> None:
    """Set the collector and the switching of threads for a server that has started."""
    collect_seldom()
    sys.setswitchinterval(_SWITCH_S)


def options_from(flags: dict[str, Any]) -> ApiServerOptions:
    """Turn flag values into options, reading the files that they name. Raises click.BadParameter, OSError."""
    bound = server_flags.bound_addresses(flags["bind_address"])
    advertised = server_flags.advertised_address(flags["advertise_address"], bound[0])
    ranges = server_flags.service_ranges(flags["service_cluster_ip_range"])
    ports = server_flags.port_range(flags["service_node_port_range"])
    server_flags.check(flags, advertised, ranges)
    apply_metrics(flags)
    enabled, disabled = switched(flags["enable_admission_plugins"], flags["disable_admission_plugins"])
    gates = read_gates(flags)
    options = ApiServerOptions(
        **auth_options(flags),
        **http_options(flags),
        **switch_options(flags),
        **store_options(flags),
        **peer_options(flags, gates, (advertised, flags["secure_port"])),
        service_cluster_ip_ranges=ranges,
        service_node_port_range=ports,
        kubernetes_service_node_port=server_flags.own_node_port(flags["kubernetes_service_node_port"], ports),
        advertise_address=advertised,
        secure_port=flags["secure_port"],
        event_ttl_s=int(flags["event_ttl"]),
        min_watch_timeout_s=flags["min_request_timeout"],
        request_timeout_s=flags["request_timeout"],
        priority_and_fairness=flags["enable_priority_and_fairness"],
        max_requests_inflight=flags["max_requests_inflight"],
        max_mutating_requests_inflight=flags["max_mutating_requests_inflight"],
        livez_grace_period_s=flags["livez_grace_period"],
        shutdown_delay_s=flags["shutdown_delay_duration"],
        shutdown_send_retry_after=flags["shutdown_send_retry_after"],
        allow_privileged=flags["allow_privileged"],
        shutdown_watch_grace_s=flags["shutdown_watch_termination_grace_period"],
        audit=audit_from(flags),
        component_ports=_component_ports(flags["component_ports"]),
        feature_gates=gates,
        runtime_config=parse(flags["runtime_config"]),
        flags=shown_flags(),
        kubelet_client_certificate=flags["kubelet_client_certificate"],
        kubelet_client_key=flags["kubelet_client_key"],
        kubelet_certificate_authority=flags["kubelet_certificate_authority"],
        encryption_provider_config=flags["encryption_provider_config"],
        encryption_provider_config_automatic_reload=flags["encryption_provider_config_automatic_reload"],
        kubelet_addresses=_address_types(flags["kubelet_preferred_address_types"]),
        default_tolerations_s=(
            flags["default_not_ready_toleration_seconds"],
            flags["default_unreachable_toleration_seconds"],
        ),
        enabled_admission=enabled,
        disabled_admission=disabled,
        admission_config=flags["admission_control_config_file"],
        egress=egress_from(flags["egress_selector_config_file"]),
    )
    server_flags.check_seats(flags)
    return options


def _component_ports(text: str) -> tuple[tuple[str, int], ...]:
    try:
        parts = [one.partition("=") for one in text.split(",") if one]
        return tuple((name, int(port)) for name, _, port in parts)
    except ValueError as error:
        raise click.BadParameter(text, param_hint="--component-ports") from error


def _address_types(text: str) -> tuple[str, ...]:
    return tuple(one for one in text.split(",") if one)


def serving_pair(flags: dict[str, Any], options: ApiServerOptions) -> pki.KeyPair:
    """Return the serving certificate: the given one, or a self-made one kept in ``--cert-dir``."""
    certificate, key = flags["tls_cert_file"], flags["tls_private_key_file"]
    if certificate and key:
        return pki.KeyPair.read(certificate, key)
    folder: Path | None = flags["cert_dir"]
    paths = (folder / "apiserver.crt", folder / "apiserver.key") if folder else None
    if paths and all(path.exists() for path in paths):
        return pki.KeyPair.read(*paths)
    now = RealClock().now()
    authority = pki.make_ca("tiphys-self-signed", now)
    first = str(ipaddress.ip_network(options.service_cluster_ip_ranges[0])[1])
    hosts = [
        "localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        f"kubernetes.default.svc.{options.cluster_domain}", options.advertise_address, first,
    ]  # fmt: skip
    pair = pki.issue_server(authority, "kube-apiserver", hosts, now)
    pair = pki.KeyPair(pair.certificate + authority.certificate, pair.key)
    if paths:
        pair.write(*paths)
    return pair


def serving_files(flags: dict[str, Any]) -> Files:
    """Return the files of certificates and authorities that the flags name. Raises click.BadParameter."""
    certificate, key, folder = flags["tls_cert_file"], flags["tls_private_key_file"], flags["cert_dir"]
    own = (folder / "apiserver.crt", folder / "apiserver.key") if folder else None
    try:
        named = tuple(named_pair(text) for text in flags["tls_sni_cert_key"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--tls-sni-cert-key") from error
    return Files(
        (certificate, key) if certificate and key else own,
        flags["client_ca_file"],
        flags["requestheader_client_ca_file"],
        named,
    )


def _handshakes(listening: Server) -> Iterator[Metric]:
    name, text = "apiserver_tls_handshake_errors", "TLS handshakes that failed."
    yield CounterMetricFamily(name, text, value=listening.handshake_errors)


_FILES = {
    "AdmissionConfiguration": "--admission-control-config-file",
    "AuthenticationConfiguration": "--authentication-config",
    "AuthorizationConfiguration": "--authorization-config",
}


def _told_to_stop() -> asyncio.Event:
    """Return what SIGTERM or SIGINT sets; who sends a second one does not want to wait."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop


def _assemble(flags: dict[str, Any], options: ApiServerOptions) -> ApiServer:
    """Return the server, not yet started. Raises click.ClickException."""
    store = open_store(flags["store"], flags, options.egress.etcd)
    elsewhere = open_elsewhere(flags, options.egress.etcd)
    try:
        return ApiServer(store, options, elsewhere=elsewhere)
    except RuntimeConfigError as error:
        raise FlagError(str(error)) from error
    except BadConfiguration as error:
        raise click.BadParameter(str(error), param_hint="--encryption-provider-config") from error
    except config_files.BadConfiguration as error:
        raise click.BadParameter(str(error), param_hint=_FILES[error.kind]) from error
    except BadPolicy as error:
        raise FlagError(str(error)) from error
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


async def _begin(server: ApiServer) -> asyncio.Task[None]:
    """Start the server, until it has, or the store is too slow. Raises click.ClickException."""
    starting = asyncio.create_task(server.start())  # parent: run
    await asyncio.wait([starting], timeout=server.options.storage_initialization_s)
    if starting.done():
        try:
            await starting
        except (SignerFailed, StoreUnavailable) as error:
            await server.stop()
            raise click.ClickException(str(error)) from error
    return starting


async def run(flags: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = options_from(flags)
    tls, limits = read_tls(flags), read_limits(flags)
    server = _assemble(flags, options)
    files, own = serving_files(flags), serving_pair(flags, options)
    held = read(files, Held(own))
    context = make_context(held, tls)
    stop = _told_to_stop()
    starting = await _begin(server)
    first, *others = server_flags.bound_addresses(flags["bind_address"])
    port = options.secure_port
    try:
        async with serve(
            server.handler if starting.done() else Initializing(server.handler),
            host=first,
            port=port,
            ssl_context=context,
            limits=limits,
            addresses=[(address, port) for address in others],
            grace_s=options.request_timeout_s,
        ) as listening:
            checker = ConsistencyChecker(server.objects, server.stores, partial(stored_rows, server.table))
            server.backend.metrics.sources += [partial(_handshakes, listening), checker.collect]

            async def take_over(held: Held, context: ssl.SSLContext) -> None:
                listening.replace_context(context)
                await server.trust(held.client_ca, held.proxies_ca)

            async def finish() -> None:
                await starting
                if not stop.is_set():
                    listening.replace_handler(server.handler)

            return_large_blocks()
            tune_interpreter()
            log.info("serving address=%s port=%s", flags["bind_address"], port)
            async with asyncio.TaskGroup() as group:
                looking = [group.create_task(ServingFiles(files, held, tls, take_over).run())]
                if not starting.done():
                    looking.append(group.create_task(finish()))
                if options.feature_gates.enabled("DetectCacheInconsistency"):
                    looking.append(group.create_task(checker.run()))
                await stop.wait()
                log.info("shutting down delay_s=%s", options.shutdown_delay_s)
                await server.end(listening)
                for task in looking:
                    task.cancel()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await server.stop()


@click.command("apiserver", cls=Component, upstream="kube-apiserver")
@store_flags
@click.option(
    "--bind-address", default="0.0.0.0", show_default=True, help="one address, or several by commas"
)
@click.option("--secure-port", type=int, default=6443, show_default=True)
@click.option("--advertise-address", default="")
@click.option("--tls-cert-file", type=_FILE)
@click.option("--tls-private-key-file", type=_FILE)
@click.option(
    "--tls-sni-cert-key", multiple=True, help="cert,key[:name,...]: for clients that ask for a name"
)
@tls_flags
@http2_flags
@goaway_flag
@gate_flags
@emulation_flags
@metrics_flags
@click.option("--runtime-config", default="", help="api/beta=true, group/version[/resource]=true, ...")
@click.option("--cert-dir", type=click.Path(file_okay=False, path_type=Path))
@auth_flags
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True)
@click.option("--service-node-port-range", default="30000-32767", show_default=True)
@click.option("--kubernetes-service-node-port", type=int, default=0, help="0: the Service has none")
@click.option("--event-ttl", type=DURATION, default="1h", show_default=True)
@click.option("--request-timeout", type=SIGNED_DURATION, default="1m", show_default=True)
@click.option("--enable-priority-and-fairness", type=bool, default=True, show_default=True)
@click.option("--max-requests-inflight", type=int, default=400, show_default=True)
@click.option("--max-mutating-requests-inflight", type=int, default=200, show_default=True)
@click.option("--livez-grace-period", type=SIGNED_DURATION, default="0s", show_default=True)
@click.option("--shutdown-delay-duration", type=SIGNED_DURATION, default="0s", show_default=True)
@click.option(
    "--shutdown-send-retry-after",
    type=bool,
    default=False,
    show_default=True,
    help="while requests are awaited at the end, new ones get 429 and Retry-After",
)
@click.option(
    "--shutdown-watch-termination-grace-period",
    type=SIGNED_DURATION,
    default="0s",
    show_default=True,
    help="in so long a time watches are ended one by one",
)
@click.option(
    "--component-ports",
    default="scheduler=10259,controller-manager=10257",
    show_default=True,
    help="where componentstatuses looks",
)
@audit_flags
@http_flags
@peer_flags
@switch_flags
@click.option("--min-request-timeout", type=int, default=1800, show_default=True)
@click.option("--kubelet-client-certificate", type=_FILE)
@click.option("--kubelet-client-key", type=_FILE)
@click.option("--kubelet-certificate-authority", type=_FILE)
@click.option(
    "--kubelet-preferred-address-types",
    default=",".join(ADDRESS_TYPES),
    show_default=True,
    help="which of a node's addresses to call, the first that it has",
)
@click.option("--encryption-provider-config", type=_FILE)
@click.option(
    "--encryption-provider-config-automatic-reload", type=bool, default=False, is_flag=False, flag_value=True
)
@click.option(
    "--allow-privileged",
    type=bool,
    default=True,
    show_default=True,
    is_flag=False,
    flag_value=True,
    help="let containers be privileged",
)
@click.option("--egress-selector-config-file", default="", help="proxies before what this server calls")
@click.option("--enable-admission-plugins", default="", help="those that are not on by themselves")
@click.option("--disable-admission-plugins", default="")
@click.option("--admission-control-config-file", type=_FILE)
@click.option("--default-not-ready-toleration-seconds", type=int, default=300, show_default=True)
@click.option("--default-unreachable-toleration-seconds", type=int, default=300, show_default=True)
def apiserver(**flags: Any) -> None:
    """Serve the Kubernetes API."""
    run_loop(run(flags))


def main() -> None:
    """Run the component on its own."""
    apiserver()


if __name__ == "__main__":
    main()
