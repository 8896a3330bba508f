"""Which addresses serve a port of a Service, as its Endpoints say. Pure."""

from __future__ import annotations

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
