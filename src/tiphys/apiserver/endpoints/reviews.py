"""Questions that are asked by creating an object that nobody stores.

TokenReview and SelfSubjectReview are here, those about rights in ``access_reviews``, and the legacy
``bindings`` resource in ``subresources.binding``. ``REVIEWS`` is the list.
"""

from __future__ import annotations

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.access_reviews import (
    admitted_review,
    local_subject_access_review,
    self_subject_access_review,
    self_subject_rules_review,
    subject_access_review,
)
from tiphys.apiserver.endpoints.call import Call, CallHandler
from tiphys.apiserver.subresources import binding
from tiphys.wire import bearer
from tiphys.wire.message import Response


async def token_review(call: Call) -> Response:
    """Tell whom a token names."""
    review, admitted = await admitted_review(call)
    spec = review["spec"]
    if not spec.get("token"):
        raise BadRequest("token is required for TokenReview in authentication")
    await admission.validate(admitted)
    audiences = tuple(spec.get("audiences") or call.backend.authenticator.api_audiences)
    # Read as it would be of a header: without what is around it, and up to the first space.
    token = bearer.header_token({"authorization": f"Bearer {spec['token']}"})
    review["status"] = await _token_status(call, token, audiences) if token else {"user": {}}
    return respond.respond(call, review, 201)


async def _token_status(call: Call, token: str, audiences: tuple[str, ...]) -> Object:
    try:
        found = await call.backend.authenticator.authenticate_token(token, audiences)
    except Refused as error:
        return {"user": {}, "error": str(error)}
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    status = {"authenticated": True, "user": found.user.to_info()}
    return {**status, "audiences": list(found.audiences)} if found.audiences else status


async def self_subject_review(call: Call) -> Response:
    """Tell the asking user who it is."""
    review, admitted = await admitted_review(call)
    await admission.validate(admitted)
    review.pop("spec", None)
    review["metadata"] = {"creationTimestamp": rfc3339(call.backend.clock.now())}
    review["status"] = {"userInfo": call.user.to_info()}
    return respond.respond(call, review, 201)


REVIEWS: dict[tuple[str, str], CallHandler] = {
    ("", "bindings"): binding.handle_legacy,
    ("authentication.k8s.io", "tokenreviews"): token_review,
    ("authentication.k8s.io", "selfsubjectreviews"): self_subject_review,
    ("authorization.k8s.io", "subjectaccessreviews"): subject_access_review,
    ("authorization.k8s.io", "localsubjectaccessreviews"): local_subject_access_review,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): self_subject_access_review,
    ("authorization.k8s.io", "selfsubjectrulesreviews"): self_subject_rules_review,
}
