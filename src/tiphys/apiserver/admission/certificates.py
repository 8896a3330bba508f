"""Certificate signing requests: who asked is the server's to say, and approving or signing needs a right.

Source: the "Certificates and Certificate Signing Requests" page.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.conditions import stamp_conditions
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import MASTERS
from tiphys.apiserver.requestinfo import RequestInfo

_GROUP = "certificates.k8s.io"
_PLURAL = "certificatesigningrequests"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateRequests:
    """Stamps the requester, guards approval and signing by signer name, refuses client system:masters."""

    NAME = "CertificateRequests"
    RESOURCES = frozenset({(_GROUP, _PLURAL)})

    async def admit(self, attributes: Attributes) -> None:
        request = attributes.obj
        if not self._concerned(attributes) or request is None:
            return
        if attributes.subresource == "status":
            now = rfc3339(attributes.call.backend.clock.now())
            stamp_conditions(request, attributes.old or {}, now, updates=True)
        if attributes.subresource:
            return
        spec = request.setdefault("spec", {})
        keys = ("username", "uid", "groups", "extra")
        source = attributes.call.user.to_info()
        if attributes.operation == "UPDATE" and attributes.old is not None:
            source = attributes.old.get("spec") or {}
        for key in keys:
            if source.get(key):
                spec[key] = source[key]
            else:
                spec.pop(key, None)

    async def validate(self, attributes: Attributes) -> None:
        if not self._concerned(attributes) or attributes.obj is None:
            return
        if attributes.operation == "CREATE":
            _refuse_masters(attributes, attributes.obj)
        elif attributes.subresource == "approval":
            await self._require(attributes, "approve")
        elif attributes.subresource == "status" and attributes.old is not None:
            before = (attributes.old.get("status") or {}).get("certificate")
            if (attributes.obj.get("status") or {}).get("certificate") != before:
                await self._require(attributes, "sign")

    def _concerned(self, attributes: Attributes) -> bool:
        return attributes.group == _GROUP and attributes.plural == _PLURAL

    async def _require(self, attributes: Attributes, verb: str) -> None:
        signer = str(((attributes.old or {}).get("spec") or {}).get("signerName", ""))
        if await may_use_signer(attributes, verb, signer):
            return
        action = "approve requests" if verb == "approve" else "sign requests"
        raise attributes.refuse(f'user not permitted to {action} with signerName "{signer}"')


async def may_use_signer(attributes: Attributes, verb: str, signer: str) -> bool:
    """Tell whether the caller has a right on a signer, or on all signers of its domain."""
    authorizer, user = attributes.call.backend.authorizer, attributes.call.user
    info = RequestInfo("", verb, is_resource=True, group=_GROUP, version="v1", resource="signers")
    for name in (signer, f"{signer.split('/', 1)[0]}/*"):
        if (await authorizer.decide(user, replace(info, name=name))).allowed:
            return True
    return False


def _refuse_masters(attributes: Attributes, request: Object) -> None:
    spec = request.get("spec") or {}
    if spec.get("signerName") != _CLIENT_SIGNER:
        return
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
    except (ValueError, binascii.Error):
        return
    groups = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if any(group.value == MASTERS for group in groups):
        raise attributes.refuse(f"use of {_CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
