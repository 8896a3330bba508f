"""The right to act for a signer: ``approve``, ``sign`` and ``attest`` on ``signers`` of certificates.k8s.io.

Called by the plugins of certificates and trust bundles. Source: the "Certificates and Certificate Signing
Requests" page.
"""

from __future__ import annotations

from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.filters.requestinfo import RequestInfo

GROUP = "certificates.k8s.io"


async def may(attributes: Attributes, verb: str, signer: str) -> bool:
    """Tell whether the user has the right on this signer, or on all signers of its domain."""
    authorizer, user = attributes.call.backend.authorizer, attributes.call.user
    for name in (signer, f"{signer.split('/', 1)[0]}/*"):
        info = RequestInfo(
            path="", verb=verb, is_resource=True, group=GROUP, version="*", resource="signers", name=name
        )
        if (await authorizer.decide(user, info)).allowed:
            return True
    return False
