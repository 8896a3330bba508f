"""Requests for certificates: who asked is the server's to say, and approving or signing needs a right.

Source: the "Certificates and Certificate Signing Requests" page; KEP-4317.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.conditions import stamp_conditions
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission import signers
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import MASTERS

_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_REQUESTS = frozenset({(signers.GROUP, "certificatesigningrequests")})
_REQUESTER = ("username", "uid", "groups", "extra")


class CertificateRequester:
    """Writes into requests who makes them, and since when conditions are; nobody changes that afterwards."""

    NAME = "CertificateRequester"
    RESOURCES = _REQUESTS
    SUBRESOURCES = frozenset({"", "status"})
    ADMITS = frozenset({"CREATE", "UPDATE"})

    async def admit(self, attributes: Attributes) -> None:
        request = attributes.obj
        if request is None:
            return
        if attributes.subresource:
            now = rfc3339(attributes.call.backend.clock.now())
            stamp_conditions(request, attributes.old or {}, now)
            return
        spec = request.setdefault("spec", {})
        source = attributes.call.user.to_info()
        if attributes.operation == "UPDATE" and attributes.old is not None:
            source = attributes.old.get("spec") or {}
        for key in _REQUESTER:
            if source.get(key):
                spec[key] = source[key]
            else:
                spec.pop(key, None)


class CertificateApproval:
    """Lets those approve and deny who may ``approve`` for the signer."""

    NAME = "CertificateApproval"
    RESOURCES = _REQUESTS
    SUBRESOURCES = frozenset({"approval"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        signer = _signer(attributes.old)
        if not await signers.may(attributes, "approve", signer):
            raise attributes.refuse(f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning:
    """Lets those give out certificates, and say that there will be none, who may ``sign`` for the signer."""

    NAME = "CertificateSigning"
    RESOURCES = _REQUESTS
    SUBRESOURCES = frozenset({"status"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if _said(attributes.obj) == _said(attributes.old):
            return
        signer = _signer(attributes.old)
        if not await signers.may(attributes, "sign", signer):
            raise attributes.refuse(f'user not permitted to sign requests with signerName "{signer}"')


class CertificateSubjectRestriction:
    """Lets nobody ask for a client certificate of ``system:masters``."""

    NAME = "CertificateSubjectRestriction"
    RESOURCES = _REQUESTS
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"CREATE"})

    async def validate(self, attributes: Attributes) -> None:
        spec = peek(attributes.obj or {}, "spec")
        if spec.get("signerName") != _CLIENT_SIGNER:
            return
        try:
            parsed = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
        except (ValueError, binascii.Error):
            return
        groups = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(group.value == MASTERS for group in groups):
            raise attributes.refuse(f"use of {_CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


def _signer(request: Object | None) -> str:
    return str(peek(request or {}, "spec").get("signerName") or "")


def _said(request: Object | None) -> tuple[Any, ...]:
    status = peek(request or {}, "status")
    return status.get("certificate"), status.get("conditions") or []
