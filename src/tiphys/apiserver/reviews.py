"""Questions that are asked by creating an object that nobody stores.

TokenReview and SelfSubjectReview are here, those about rights in ``access_reviews``, and the legacy
``bindings`` resource in ``subresources.binding``. ``REVIEWS`` is the list.
"""

from __future__ import annotations

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import Invalid
from tiphys.apimachinery.meta import Object
from tiphys.apiserver import respond
from tiphys.apiserver.access_reviews import (
    admitted_review,
    local_subject_access_review,
    self_subject_access_review,
    self_subject_rules_review,
    subject_access_review,
)
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.call import Call, CallHandler
from tiphys.apiserver.subresources import binding
from tiphys.wire.message import Response


async def token_review(call: Call) -> Response:
    """Tell whom a token names."""
    review, admitted = await admitted_review(call)
    spec = review["spec"]
    if not spec.get("token"):
        fault = field_errors.required("spec.token", "token is required for TokenReview in authentication")
        raise Invalid.of("authentication.k8s.io", "TokenReview", "", [fault])
    await admission.validate(admitted)
    authenticator = call.backend.authenticator
    audiences = tuple(spec.get("audiences") or authenticator.api_audiences)
    status: Object = {"user": {}}
    try:
        found = await authenticator.authenticate_token(spec["token"], audiences)
    except Refused as error:
        found, status["error"] = None, str(error)
    if found is not None:
        status = {"authenticated": True, "user": found.user.to_info()}
        if found.audiences:
            status["audiences"] = list(found.audiences)
    else:
        status.setdefault("error", "invalid bearer token")
    review["status"] = status
    return respond.respond(call, review, 201)


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
