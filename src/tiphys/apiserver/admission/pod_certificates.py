"""What a signer says to a PodCertificateRequest: who may, and whether in time.

Source: KEP-4317, the status strategy of certificates.k8s.io/v1beta1 PodCertificateRequest.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apimachinery.field_errors import forbidden
from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.pod_request import moment_faults
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission import signers
from tiphys.apiserver.admission.attributes import Attributes

_NEAR: Final = timedelta(minutes=5)


class PodCertificateAnswers:
    """Judges what only the server's clock and its authorizer know of an answer, refusals among them."""

    NAME = "PodCertificateAnswers"
    RESOURCES = frozenset({(signers.GROUP, "podcertificaterequests")})
    SUBRESOURCES = frozenset({"status"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        new, old = peek(attributes.obj or {}, "status"), peek(attributes.old or {}, "status")
        if new == old:
            return
        issued = bool(new.get("certificateChain"))
        faults = (self._late(attributes, new) if issued else []) or await self._unsigned(attributes)
        if faults:
            raise Invalid.of(signers.GROUP, attributes.call.resource.kind, attributes.name, faults)

    @staticmethod
    def _late(attributes: Attributes, status: Object) -> list[FieldError]:
        begins = parse_time(status["notBefore"])
        if abs(begins - attributes.call.backend.clock.now()) < _NEAR:
            return []
        text = "must be set to within 5 minutes of kube-apiserver's current time"
        return moment_faults("status.notBefore", begins, text)

    @staticmethod
    async def _unsigned(attributes: Attributes) -> list[FieldError]:
        signer = str(peek(attributes.old or {}, "spec").get("signerName") or "")
        if await signers.may(attributes, "sign", signer):
            return []
        user = attributes.call.user.name
        return [
            forbidden("spec.signerName", f'User "{user}" is not permitted to "sign" for signer "{signer}"')
        ]
