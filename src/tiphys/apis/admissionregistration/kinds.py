"""The strategies of the ``admissionregistration.k8s.io`` group."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apis.admissionregistration import defaults, validation
from tiphys.apis.strategy import Strategy


def _strategy(
    kind: str, default: Callable[[Object], None], validate: Callable[[Object], list[FieldError]]
) -> Strategy:
    return Strategy(
        GVK("admissionregistration.k8s.io", "v1", kind),
        default=default,
        validate=validate,
        validate_update=lambda new, _old: validate(new),
        has_generation=True,
        unconditional_update=False,
    )


STRATEGIES: tuple[Strategy, ...] = (
    _strategy(
        "ValidatingWebhookConfiguration", defaults.default_validating_webhooks, validation.validate_webhooks
    ),
    _strategy(
        "MutatingWebhookConfiguration", defaults.default_mutating_webhooks, validation.validate_webhooks
    ),
    _strategy("ValidatingAdmissionPolicy", defaults.default_policy, validation.validate_policy),
    _strategy(
        "ValidatingAdmissionPolicyBinding",
        defaults.default_policy_binding,
        validation.validate_policy_binding,
    ),
    _strategy("MutatingAdmissionPolicy", defaults.default_policy, validation.validate_policy),
    _strategy(
        "MutatingAdmissionPolicyBinding", defaults.default_policy_binding, validation.validate_policy_binding
    ),
)
