"""Which addresses serve a port of a Service, as its EndpointSlices or its Endpoints say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.meta import Object

Address = tuple[str, int]


def endpoint_addresses(endpoints: Object | None, port_name: str) -> list[Address]:
    """Return the ready (address, port) pairs of a port; an unnamed port is ``""``."""
    return [
        (address["ip"], int(one["port"]))
        for subset in (endpoints or {}).get("subsets") or ()
        for one in subset.get("ports") or ()
        if (one.get("name") or "") == port_name
        for address in subset.get("addresses") or ()
    ]


def slice_addresses(slices: Sequence[Object], port_name: str, family: str = "") -> list[Address]:
    """Return the ready (address, port) pairs of a port: those of an IP family, where it has any.

    ``family``: the first of the Service's (a node may well have no way to the other one); empty: all alike.
    """
    found = [
        (item.get("addressType") or "", (endpoint["addresses"][0], int(one["port"])))
        for item in slices
        for one in item.get("ports") or ()
        if (one.get("name") or "") == port_name and one.get("port")
        for endpoint in item.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    ]
    return [address for kind, address in found if kind == family] or [address for _, address in found]
