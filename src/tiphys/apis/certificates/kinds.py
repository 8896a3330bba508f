"""Strategies of the ``certificates.k8s.io`` group. Who asked for a certificate is the server's to fill in."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.certificates import pod_request, validation
from tiphys.apis.certificates.conditions import keep_conditions
from tiphys.apis.defaulting import fill_optional, section
from tiphys.apis.strategy import Strategy

_GROUP = "certificates.k8s.io"
_DAY_S = 86_400


def prepare_request(obj: Object) -> None:
    """A new request is neither approved nor issued."""
    obj["status"] = {}


def prepare_request_update(new: Object, old: Object) -> None:
    """What was asked for never changes."""
    new["spec"] = old.get("spec") or {}


def _decisions_stay(new: Object, old: Object) -> None:
    keep_conditions(new, old, "Approved", "Denied")


def default_pod_request(obj: Object) -> None:
    """A pod's certificate is good for a day, if nothing else is asked for."""
    fill_optional(section(obj, "spec"), "maxExpirationSeconds", _DAY_S)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK(_GROUP, "v1", "CertificateSigningRequest"),
        prepare_create=prepare_request,
        prepare_update=prepare_request_update,
        validate=validation.validate_request,
        validate_update=validation.validate_request_update,
        prepare_status_update=_decisions_stay,
        validate_status_update=validation.validate_request_status,
        status_resets=(),
        validate_name=lambda _name: [],
    ),
    Strategy(
        GVK(_GROUP, "v1beta1", "ClusterTrustBundle"),
        validate=validation.validate_bundle,
        validate_update=validation.validate_bundle_update,
        validate_name=lambda _name: [],
        unconditional_update=False,
    ),
    Strategy(
        GVK(_GROUP, "v1beta1", "PodCertificateRequest"),
        default=default_pod_request,
        prepare_create=prepare_request,
        validate=pod_request.validate_pod_request,
        validate_update=pod_request.validate_pod_request_update,
        validate_status_update=pod_request.validate_pod_request_status,
        unconditional_update=False,
    ),
)
