"""DenyServiceExternalIPs: a Service takes over no address that is not the cluster's (CVE-2020-8554)."""

from __future__ import annotations

from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission.attributes import Attributes


class DenyServiceExternalIPs:
    """Refuses external addresses that a Service did not have before."""

    NAME = "DenyServiceExternalIPs"
    RESOURCES = frozenset({("", "services")})
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        new = peek(attributes.obj or {}, "spec").get("externalIPs") or ()
        old = peek(attributes.old or {}, "spec").get("externalIPs") or ()
        if set(new) - set(old):
            raise attributes.refuse("Use of external IPs is denied by admission control")
