"""Rules of Endpoints."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.core.addresses import ip_faults, special_ip_faults
from tiphys.apis.core.container_validation import PROTOCOLS
from tiphys.apis.defaulting import each
from tiphys.apis.value_validation import one_of, port_number


def validate_endpoints(endpoints: Object) -> list[FieldError]:
    """Return every fault of an Endpoints object."""
    faults: list[FieldError] = []
    for index, subset in enumerate(each(endpoints, "subsets")):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            faults.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(each(subset, key)):
                faults += _address(address, f"{path}.{key}[{place}]")
        ports = list(each(subset, "ports"))
        for place, port in enumerate(ports):
            faults += _port(port, f"{path}.ports[{place}]", named=len(ports) > 1)
    return faults


def _address(address: Object, path: str) -> list[FieldError]:
    value, host, node = address.get("ip") or "", address.get("hostname"), address.get("nodeName")
    faults = ip_faults(value, f"{path}.ip")
    if host:
        faults += invalid_all(f"{path}.hostname", host, names.is_dns1123_label(host))
    if node is not None:
        faults += invalid_all(f"{path}.nodeName", node, names.is_dns1123_subdomain(node))
    return faults + special_ip_faults(value, f"{path}.ip")


def _port(port: Object, path: str, *, named: bool) -> list[FieldError]:
    name, protocol = port.get("name") or "", port.get("appProtocol")
    faults: list[FieldError] = []
    if named and not name:
        faults.append(required(f"{path}.name"))
    elif name:
        faults += invalid_all(f"{path}.name", name, names.is_dns1123_label(name))
    faults += port_number(port.get("port"), f"{path}.port")
    faults += one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    if protocol is not None:
        faults += invalid_all(f"{path}.appProtocol", protocol, names.is_qualified_name(protocol))
    return faults
