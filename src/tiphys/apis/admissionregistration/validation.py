"""Rules of webhook configurations; their match conditions must compile."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.admissionregistration.client_config import client_config_faults
from tiphys.apis.admissionregistration.match import condition_faults, rule_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import label_selector, one_of

_TIMEOUT_MAX_S = 30


def validate_webhooks(obj: Object) -> list[FieldError]:
    """Return every fault of a new webhook configuration of either kind."""
    return _configuration(obj, conditions=True)


def validate_webhooks_update(new: Object, old: Object) -> list[FieldError]:
    """The same for a changed one; match conditions that did not change are let be."""
    before = [webhook.get("matchConditions") for webhook in each(old, "webhooks")]
    after = [webhook.get("matchConditions") for webhook in each(new, "webhooks")]
    return _configuration(new, conditions=before != after)


def _configuration(obj: Object, *, conditions: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, webhook in enumerate(each(obj, "webhooks")):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
        faults += _webhook(webhook, path)
        if conditions:
            faults += condition_faults(webhook.get("matchConditions"), f"{path}.matchConditions")
        faults += _review_versions(webhook, f"{path}.admissionReviewVersions")
    return faults


def _webhook(webhook: Object, path: str) -> list[FieldError]:
    faults = _qualified(webhook.get("name") or "", f"{path}.name")
    for index, rule in enumerate(each(webhook, "rules")):
        faults += rule_faults(rule, f"{path}.rules[{index}]")
    faults += one_of(webhook.get("failurePolicy"), f"{path}.failurePolicy", ("Fail", "Ignore"), optional=True)
    matches = ("Equivalent", "Exact")
    faults += one_of(webhook.get("matchPolicy"), f"{path}.matchPolicy", matches, optional=True)
    effects = ("None", "NoneOnDryRun")
    faults += one_of(webhook.get("sideEffects"), f"{path}.sideEffects", effects)
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= _TIMEOUT_MAX_S:
        text = "the timeout value must be between 1 and 30 seconds"
        faults.append(invalid(f"{path}.timeoutSeconds", timeout, text))
    for key in ("namespaceSelector", "objectSelector"):
        faults += label_selector(webhook.get(key), f"{path}.{key}")
    faults += client_config_faults(peek(webhook, "clientConfig"), f"{path}.clientConfig")
    policies = ("IfNeeded", "Never")
    faults += one_of(webhook.get("reinvocationPolicy"), f"{path}.reinvocationPolicy", policies, optional=True)
    return faults


def _qualified(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    faults = invalid_all(path, name, names.is_dns1123_subdomain(name))
    if not faults and name.count(".") < 2:
        faults.append(
            invalid(path, name, "should be a domain with at least three segments separated by dots")
        )
    return faults


def _review_versions(webhook: Object, path: str) -> list[FieldError]:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        return [required(path, "must specify one of v1, v1beta1")]
    if not {"v1", "v1beta1"} & set(versions):
        text = "must include at least one of v1, v1beta1"
        return [invalid(path, versions, text)]
    return []
