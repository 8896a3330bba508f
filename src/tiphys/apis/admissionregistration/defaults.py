"""Defaults of webhook configurations and admission policies."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, fill_optional, section

_HTTPS = 443
_TIMEOUT_S = 10


def _default_webhook(webhook: Object) -> None:
    fill_optional(webhook, "failurePolicy", "Fail")
    fill_optional(webhook, "matchPolicy", "Equivalent")
    fill_optional(webhook, "namespaceSelector", {})
    fill_optional(webhook, "objectSelector", {})
    fill_optional(webhook, "timeoutSeconds", _TIMEOUT_S)
    for rule in each(webhook, "rules"):
        fill_optional(rule, "scope", "*")
    service = section(webhook, "clientConfig").get("service")
    if isinstance(service, dict):
        fill_optional(service, "port", _HTTPS)


def default_validating_webhooks(obj: Object) -> None:
    """Complete a ValidatingWebhookConfiguration."""
    for webhook in each(obj, "webhooks"):
        _default_webhook(webhook)


def default_mutating_webhooks(obj: Object) -> None:
    """Complete a MutatingWebhookConfiguration."""
    for webhook in each(obj, "webhooks"):
        _default_webhook(webhook)
        fill_optional(webhook, "reinvocationPolicy", "Never")


def _default_match(match: object) -> None:
    if not isinstance(match, dict):
        return
    fill_optional(match, "matchPolicy", "Equivalent")
    fill_optional(match, "namespaceSelector", {})
    fill_optional(match, "objectSelector", {})
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in each(match, name):
            fill_optional(rule, "scope", "*")


def default_policy(obj: Object) -> None:
    """Complete a ValidatingAdmissionPolicy or MutatingAdmissionPolicy."""
    spec = section(obj, "spec")
    fill_optional(spec, "failurePolicy", "Fail")
    _default_match(spec.get("matchConstraints"))


def default_policy_binding(obj: Object) -> None:
    """Complete the binding of an admission policy."""
    _default_match(section(obj, "spec").get("matchResources"))
