"""Rules of webhook configurations; their match conditions must compile."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.admissionregistration.client_config import client_config_faults
from tiphys.apis.admissionregistration.match import condition_faults, rule_faults
from tiphys.apis.defaulting import each, peek
from tiphys.apis.ratchet import SELECTOR_VALUES, excused
from tiphys.apis.value_validation import label_selector, one_of

_TIMEOUT_MAX_S = 30
_NO_EFFECTS = ("None", "NoneOnDryRun")
_EFFECTS = (*_NO_EFFECTS, "Some", "Unknown")
_REVIEWS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class _Rules:
    """Which of the stricter rules hold: what all webhooks kept to before, a change must keep to."""

    conditions: bool = True
    no_effects: bool = True
    known_review: bool = True
    unique: bool = True


def validate_webhooks(obj: Object) -> list[FieldError]:
    """Return every fault of a new webhook configuration of either kind."""
    return _configuration(obj, _Rules())


def validate_webhooks_update(new: Object, old: Object) -> list[FieldError]:
    """The same for a changed one; match conditions that did not change are let be."""
    hooks = list(each(old, "webhooks"))
    before = [webhook.get("matchConditions") for webhook in hooks]
    after = [webhook.get("matchConditions") for webhook in each(new, "webhooks")]
    known = [set(webhook.get("admissionReviewVersions") or ()) for webhook in hooks]
    rules = _Rules(
        conditions=before != after,
        no_effects=all(webhook.get("sideEffects") in _NO_EFFECTS for webhook in hooks),
        known_review=all(not versions or versions & set(_REVIEWS) for versions in known),
        unique=len({webhook.get("name") for webhook in hooks}) == len(hooks),
    )
    return excused(_configuration(new, rules), lambda: validate_webhooks(old), (SELECTOR_VALUES,))


def _configuration(obj: Object, rules: _Rules) -> list[FieldError]:
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, webhook in enumerate(each(obj, "webhooks")):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        faults += _webhook(webhook, path, _EFFECTS if not rules.no_effects else _NO_EFFECTS)
        if rules.conditions:
            faults += condition_faults(webhook.get("matchConditions"), f"{path}.matchConditions")
        at = f"{path}.admissionReviewVersions"
        faults += _review_versions(webhook.get("admissionReviewVersions") or [], at, known=rules.known_review)
        if rules.unique and name and name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return faults


def _webhook(webhook: Object, path: str, effects: tuple[str, ...]) -> list[FieldError]:
    faults = _qualified(webhook.get("name") or "", f"{path}.name")
    for index, rule in enumerate(each(webhook, "rules")):
        faults += rule_faults(rule, f"{path}.rules[{index}]")
    faults += one_of(webhook.get("failurePolicy"), f"{path}.failurePolicy", ("Fail", "Ignore"), nullable=True)
    matches = ("Equivalent", "Exact")
    faults += one_of(webhook.get("matchPolicy"), f"{path}.matchPolicy", matches, nullable=True)
    at, effect = f"{path}.sideEffects", webhook.get("sideEffects")
    if effect is None:
        faults.append(required(at, f"must specify one of {', '.join(effects)}"))
    elif effect not in effects:
        faults.append(not_supported(at, effect, effects))
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= _TIMEOUT_MAX_S:
        text = "the timeout value must be between 1 and 30 seconds"
        faults.append(invalid(f"{path}.timeoutSeconds", timeout, text))
    for key in ("namespaceSelector", "objectSelector"):
        faults += label_selector(webhook.get(key), f"{path}.{key}")
    policies = ("IfNeeded", "Never")
    faults += one_of(webhook.get("reinvocationPolicy"), f"{path}.reinvocationPolicy", policies, nullable=True)
    return faults + client_config_faults(peek(webhook, "clientConfig"), f"{path}.clientConfig")


def _qualified(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    faults = invalid_all(path, name, names.is_dns1123_subdomain(name))
    if not faults and name.count(".") < 2:
        faults.append(
            invalid(path, name, "should be a domain with at least three segments separated by dots")
        )
    return faults


def _review_versions(versions: list[str], path: str, *, known: bool) -> list[FieldError]:
    if not versions:
        return [required(path, f"must specify one of {', '.join(_REVIEWS)}")]
    faults: list[FieldError] = []
    for index, version in enumerate(versions):
        at = f"{path}[{index}]"
        if version in versions[:index]:
            faults.append(invalid(at, version, "duplicate version"))
        else:
            faults += invalid_all(at, version, names.is_dns1035_label(version))
    if known and not set(_REVIEWS) & set(versions):
        text = f"must include at least one of {', '.join(_REVIEWS)}"
        faults.append(invalid(path, versions, text))
    return faults
