"""Approves kubelets' certificate requests, signs approved ones, clears away old ones. See ``plan``."""

from __future__ import annotations

import base64
import logging
from abc import ABC, abstractmethod
from datetime import timedelta

from cryptography import x509

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from tiphys.controllers import conditions
from tiphys.controllers.certificates import plan, signing
from tiphys.controllers.context import Context

log = logging.getLogger(__name__)

_APPROVED_SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
_ASK_AGAIN_S = 30.0
_APPROVED = "Auto approving kubelet client certificate after SubjectAccessReview."


class CertificatesController(ABC):
    """What the three have in common. A key is a request's."""

    name = ""
    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self.queue = context.queue(self.name)
        self._requests = context.informers.get(CERTIFICATE_SIGNING_REQUESTS)
        self._requests.add_handler(self._changed)

    async def run(self) -> None:
        await self._requests.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        request = self._requests.get(key)
        return None if request is None else await self.look(request)

    @abstractmethod
    async def look(self, request: Object) -> float | None:
        """Act on one request; return seconds until the next look."""

    async def _write(self, request: Object, condition: Object, subresource: str) -> None:
        status = request.get("status") or {}
        stamped = {**condition, "lastUpdateTime": condition["lastTransitionTime"]}
        found = conditions.put(status.get("conditions") or [], stamped)
        changed = {**request, "status": {**status, "conditions": found}}
        await self._client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource)


class CertificateApprover(CertificatesController):
    """Approves a node's request for its client certificate, if whoever asks may have one."""

    name = "certificatesigningrequest-approving-controller"

    async def look(self, request: Object) -> float | None:
        status = request.get("status") or {}
        if status.get("conditions") or status.get("certificate"):
            return None
        try:
            asked = signing.what_is_asked(signing.read_request(request["spec"].get("request") or ""))
        except ValueError:
            return None
        if not plan.is_kubelet_client(request, asked):
            return None
        own = plan.is_own(request, asked)
        for subresource, message in (("selfnodeclient", _APPROVED_SELF), ("nodeclient", _APPROVED)):
            if subresource == "selfnodeclient" and not own:
                continue
            if await self._may(request, subresource):
                condition = conditions.make("Approved", "True", "AutoApproved", message, self._clock.now())
                await self._write(request, condition, "approval")
                return None
        return _ASK_AGAIN_S  # the right to it may be given while the request waits

    async def _may(self, request: Object, subresource: str) -> bool:
        spec = request["spec"]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": spec.get("username"),
                "uid": spec.get("uid"),
                "groups": spec.get("groups"),
                "extra": spec.get("extra"),
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": subresource,
                    "version": "*",
                },
            },
        }
        review["spec"] = {key: value for key, value in review["spec"].items() if value}  # type: ignore[attr-defined]
        answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))


class CertificateSigner(CertificatesController):
    """Signs with the signer's authority; without one, requests wait."""

    name = "certificatesigningrequest-signing-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options
        usual = (options.signing_certificate_pem, options.signing_key_pem)
        pairs = {**(dict.fromkeys(plan.SIGNERS, usual) if all(usual) else {}), **options.signers}
        loaded = {pair: signing.Authority.load(*pair) for pair in set(pairs.values())}
        self._authorities = {signer: loaded[pair] for signer, pair in pairs.items()}
        self._longest = timedelta(seconds=options.signing_duration_s)

    async def look(self, request: Object) -> float | None:
        if not plan.needs_signature(request):
            return None
        spec = request["spec"]
        authority = self._authorities.get(spec["signerName"])
        if authority is None:
            return None
        try:
            parsed = signing.read_request(spec.get("request") or "")
        except ValueError as error:
            await self._fail(request, str(error))
            return None
        fault = plan.fault(spec["signerName"], spec.get("usages") or (), signing.what_is_asked(parsed))
        if fault:
            await self._fail(request, fault)
        else:
            await self._issue(request, parsed, authority)
        return None

    async def _fail(self, request: Object, fault: str) -> None:
        condition = conditions.make("Failed", "True", "SignerValidationFailure", fault, self._clock.now())
        await self._write(request, condition, "status")

    async def _issue(
        self, request: Object, parsed: x509.CertificateSigningRequest, authority: signing.Authority
    ) -> None:
        usages: list[str] = list(request["spec"].get("usages") or ())
        pem = signing.sign(
            authority, parsed, usages, plan.lifetime(request, self._longest), self._clock.now()
        )
        status = {**(request.get("status") or {}), "certificate": base64.b64encode(pem).decode()}
        await self._client.update(CERTIFICATE_SIGNING_REQUESTS, {**request, "status": status}, "status")
        log.info("certificate signed request=%s", request["metadata"]["name"])


class CertificateCleaner(CertificatesController):
    """Deletes requests an hour after their answer, at their certificate's end, or after a day in vain."""

    name = "certificatesigningrequest-cleaner-controller"

    async def look(self, request: Object) -> float | None:
        left_s = plan.left_s(request, self._clock.now(), signing.end_of(request))
        if left_s is None or left_s > 0:
            return left_s
        meta = request["metadata"]
        log.info("old request removed request=%s at=%s", meta["name"], rfc3339(self._clock.now()))
        try:
            await self._client.delete(CERTIFICATE_SIGNING_REQUESTS, meta["name"], uid=meta["uid"])
        except NotFound:
            return None
        return None
