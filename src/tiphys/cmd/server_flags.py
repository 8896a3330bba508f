"""The API server's limits, addresses and ranges: read from their flags, and all that is wrong with them.

Owns: what upstream refuses of these flags, in its words, all at once where it says all at once.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tiphys.apis.runtime_config import parse as parse_runtime_config
from tiphys.cmd.component import FlagError, idle_values
from tiphys.cmd.gate_flags import is_emulating
from tiphys.cmd.http2_flags import goaway_faults
from tiphys.cmd.http_flags import http_faults
from tiphys.cmd.metrics_flags import metric_faults
from tiphys.cmd.store_flags import is_etcd, overrides

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DEFAULT_RANGE: Final = "10.0.0.0/24"
"""Where ``--service-cluster-ip-range`` is given and empty."""
_FEWEST_ADDRESSES: Final = 8
NODE_PORTS: Final = (30000, 32767)
_LAST_PORT: Final = 65535
_ZEROS: Final = re.compile(r"(?<![0-9a-fA-F:])0+(?=\d)")
_LIMITS: Final = {
    "livez_grace_period": "--livez-grace-period can not be a negative value",
    "max_requests_inflight": "--max-requests-inflight can not be negative value",
    "max_mutating_requests_inflight": "--max-mutating-requests-inflight can not be negative value",
    "request_timeout": "--request-timeout can not be negative value",
    "min_request_timeout": "--min-request-timeout can not be negative value",
    "storage_initialization_timeout": "--storage-initialization-timeout can not be negative value",
    "shutdown_delay_duration": "--shutdown-delay-duration can not be negative value",
    "shutdown_watch_termination_grace_period": (
        "shutdown-watch-termination-grace-period, if provided, can not be a negative value"
    ),
}
"""Flags that must not be below zero, with what is said of them."""
_FORWARD: Final = {
    "emulation-forward-compatible": "EmulationForwardCompatible",
    "runtime-config-emulation-forward-compatible": "RuntimeConfigEmulationForwardCompatible",
}
_ETCD: Final = "etcd3"
_MEDIA_TYPES: Final = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
_NEEDED_API: Final = ("flowcontrol.apiserver.k8s.io/v1", "api/ga", "api/all")
"""What priority and fairness needs to be served; the first of these that is named decides."""


def check(flags: Mapping[str, Any], advertised: str, ranges: Sequence[str]) -> None:
    """Refuse limits, ports and ranges that do not go together. Raises FlagError with every fault."""
    given = idle_values()
    faults = list(_limit_faults(flags))
    faults += http_faults(flags)
    faults += _emulation_faults(flags, given)
    faults += _store_faults(flags, given)
    faults += _flow_faults(flags)
    faults += _port_faults(flags["secure_port"])
    faults += metric_faults(flags)
    faults += _range_faults(ranges)
    count = flags["apiserver_count"]
    if flags["endpoint_reconciler_type"] != "none":
        faults += _family_faults(ranges[0], advertised)
    if count <= 0:
        faults.append(f"--apiserver-count should be a positive number, but value '{count}' provided")
    faults = list(dict.fromkeys(faults))
    if faults:
        raise FlagError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _limit_faults(flags: Mapping[str, Any]) -> Iterator[str]:
    for name, text in _LIMITS.items():
        if name == "min_request_timeout":
            yield from goaway_faults(flags)
        if (flags.get(name) or 0) < 0:
            yield text


def _emulation_faults(flags: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[str]:
    """Say what makes sense for a server only that behaves as an older version."""
    for flag, option in _FORWARD.items():
        if given.get(flag) == "true" and not is_emulating(flags):
            yield (
                f"ServerRunOptions.{option} cannot be set to true if the emulation version is the same as "
                "the binary version"
            )


def _store_faults(flags: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with flags of the store, those that mean nothing here too."""
    elsewhere = list(overrides(flags["etcd_servers_overrides"]))
    if elsewhere and not is_etcd(flags):
        yield "--etcd-servers must be specified"
    if given.get("storage-backend", "") not in ("", _ETCD):
        yield (
            f"--storage-backend invalid, allowed values: {_ETCD}. If not specified, it will default to "
            f"'{_ETCD}'"
        )
    for override in elsewhere:
        if override is None:
            yield (
                "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where servers "
                "are URLs, semicolon separated"
            )
    if flags["encryption_provider_config_automatic_reload"] and not flags["encryption_provider_config"]:
        yield "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config"
    media_type = given.get("storage-media-type", "")
    if media_type and media_type not in _MEDIA_TYPES:
        yield f'--storage-media-type "{media_type}" invalid, allowed values: {", ".join(_MEDIA_TYPES)}'


def _flow_faults(flags: Mapping[str, Any]) -> Iterator[str]:
    if not flags["enable_priority_and_fairness"]:
        return
    config = parse_runtime_config(flags["runtime_config"])
    named = next((one for one in _NEEDED_API if config.get(one) in ("true", "false")), None)
    if named is not None and config[named] == "false":
        yield f"--runtime-config={named}=false conflicts with --enable-priority-and-fairness=true"


def check_seats(flags: Mapping[str, Any]) -> None:
    """Refuse priorities among no seats at all; asked once everything else is right. Raises FlagError."""
    reads, writes = flags["max_requests_inflight"], flags["max_mutating_requests_inflight"]
    if flags["enable_priority_and_fairness"] and reads + writes <= 0:
        raise FlagError(
            f"invalid configuration: MaxRequestsInFlight={reads} and MaxMutatingRequestsInFlight={writes}; "
            "they must add up to something positive"
        )


def _port_faults(port: int) -> Iterator[str]:
    if not 1 <= port <= _LAST_PORT:
        yield f"--secure-port {port} must be between 1 and 65535, inclusive. It cannot be turned off with 0"


def _range_faults(ranges: Sequence[str]) -> Iterator[str]:
    if len(ranges) > 2:
        yield "--service-cluster-ip-range must not contain more than two entries"
    if len(ranges) > 1 and _network(ranges[0]).version == _network(ranges[1]).version:
        yield (
            "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"
        )


def _family_faults(first: str, advertised: str) -> Iterator[str]:
    if _network(first).version != ipaddress.ip_address(advertised).version:
        yield f'service IP family "{first}" must match public address family "{advertised}"'


def _network(text: str) -> Network:
    """Read a range; zeros in front of numbers and bits beyond its length may be. Raises ValueError."""
    if "/" not in text:
        raise ValueError(text)
    return ipaddress.ip_network(_ZEROS.sub("", text) if ":" not in text else text, strict=False)


def service_ranges(text: str) -> tuple[str, ...]:
    """Return the ranges of Services' addresses, plainly written. Raises FlagError."""
    entries = text.split(",") if text else [_DEFAULT_RANGE]
    try:
        first = _network(entries[0])
    except ValueError as error:
        raise FlagError("service-cluster-ip-range[0] is not a valid cidr") from error
    if first.num_addresses < _FEWEST_ADDRESSES:
        raise FlagError(
            "error determining service IP ranges for primary service cidr: "
            f"the service cluster IP range must be at least {_FEWEST_ADDRESSES} IP addresses"
        )
    if len(entries) == 1:
        return (str(first),)
    try:
        second = _network(entries[1])
    except ValueError as error:
        raise FlagError("service-cluster-ip-range[1] is not an ip net") from error
    return (str(first), str(second), *entries[2:])


def port_range(text: str) -> tuple[int, int]:
    """Return first and last port of ``30000-32767``, ``30000+2767`` or ``30000``. Raises FlagError."""
    if not text.strip():
        return NODE_PORTS
    try:
        return _port_range(text.strip())
    except ValueError as error:
        raise FlagError(f'invalid argument "{text}" for "--service-node-port-range" flag: {error}') from error


def own_node_port(port: int, ports: tuple[int, int]) -> int:
    """Return the node port of the Service ``kubernetes``, 0 for none. Raises FlagError."""
    if not 0 <= port <= _LAST_PORT:
        raise FlagError(
            f"--kubernetes-service-node-port {port} must be between 0 and 65535, inclusive. If 0, the "
            "Kubernetes master service will be of type ClusterIP"
        )
    if port and not ports[0] <= port <= ports[1]:
        raise FlagError(f"kubernetes service node port range {ports[0]}-{ports[1]} doesn't contain {port}")
    return port


def _port_range(text: str) -> tuple[int, int]:
    if "-" in text and "+" in text:
        raise ValueError(f"unable to parse port range: {text}")
    if "+" in text:
        start, _, more = text.partition("+")
        low = _number(start)
        high = low + _number(more)
    else:
        start, hyphen, end = text.partition("-")
        low = _number(start)
        high = _number(end) if hyphen else low
    if low > _LAST_PORT or high > _LAST_PORT:
        raise ValueError(f"the port range cannot be greater than 65535: {text}")
    if high < low:
        raise ValueError(f"end port cannot be less than start port: {text}")
    return low, high


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def bound_addresses(text: str) -> list[str]:
    """Return the addresses to listen on. Raises FlagError."""
    return [_address("--bind-address", one) for one in text.split(",")]


def advertised_address(address: str, bind: str) -> str:
    """Return the address to publish: as told, else the bound one, else the one that faces the network.

    Raises:
        FlagError: it is none.
    """
    if address:
        return _address("--advertise-address", address)
    if not ipaddress.ip_address(bind).is_unspecified:
        return bind
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _address(flag: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError as error:
        raise FlagError(
            f'invalid argument "{text}" for "{flag}" flag: failed to parse IP: "{text.strip()}"'
        ) from error
