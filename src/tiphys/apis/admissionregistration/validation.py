"""Rules of webhook configurations and admission policies (expressions are compiled by admission)."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import duplicate, invalid, invalid_all, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.value_validation import label_selector, one_of

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_TIMEOUT_MAX_S = 30


def validate_webhooks(obj: Object) -> list[FieldError]:
    """Return every fault of a webhook configuration of either kind."""
    faults: list[FieldError] = []
    seen: set[str] = set()
    for index, webhook in enumerate(each(obj, "webhooks")):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        if name in seen:
            faults.append(duplicate(f"{path}.name", name))
        seen.add(name)
        faults += _webhook(webhook, path)
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
    client = peek(webhook, "clientConfig")
    if bool(client.get("url")) == bool(client.get("service")):
        faults.append(required(f"{path}.clientConfig", "exactly one of url or service is required"))
    elif client.get("url"):
        faults += _url(str(client["url"]), f"{path}.clientConfig.url")
    elif isinstance(client.get("service"), dict):
        faults += [
            required(f"{path}.clientConfig.service.{key}")
            for key in ("name", "namespace")
            if not client["service"].get(key)
        ]
    policies = ("IfNeeded", "Never")
    faults += one_of(webhook.get("reinvocationPolicy"), f"{path}.reinvocationPolicy", policies, optional=True)
    return faults + _review_versions(webhook, f"{path}.admissionReviewVersions")


def _qualified(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    faults = invalid_all(path, name, names.is_dns1123_subdomain(name))
    if not faults and name.count(".") < 2:
        faults.append(
            invalid(path, name, "should be a domain with at least three segments separated by dots")
        )
    return faults


def _url(url: str, path: str) -> list[FieldError]:
    if url.startswith("https://"):
        return []
    scheme = url.partition("://")[0] if "://" in url else ""
    text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
    return [invalid(path, scheme, text)]


def _review_versions(webhook: Object, path: str) -> list[FieldError]:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        return [required(path, "must specify one of v1, v1beta1")]
    if not {"v1", "v1beta1"} & set(versions):
        text = "must include at least one of v1, v1beta1"
        return [invalid(path, versions, text)]
    return []


def rule_faults(rule: Object, path: str) -> list[FieldError]:
    """Return every fault of a rule that says which requests are meant."""
    faults: list[FieldError] = []
    for key in ("apiGroups", "apiVersions", "resources", "operations"):
        values = rule.get(key) or []
        if not values:
            faults.append(required(f"{path}.{key}"))
        elif len(values) > 1 and "*" in values and key != "resources":
            text = (
                "if '*' is present, must not specify other "
                + {
                    "apiGroups": "API groups",
                    "apiVersions": "API versions",
                    "operations": "operations",
                }[key]
            )
            faults.append(invalid(f"{path}.{key}", values, text))
    for index, operation in enumerate(rule.get("operations") or ()):
        faults += one_of(operation, f"{path}.operations[{index}]", _OPERATIONS)
    scopes = ("*", "Cluster", "Namespaced")
    return faults + one_of(rule.get("scope"), f"{path}.scope", scopes, optional=True)


def validate_policy(obj: Object) -> list[FieldError]:
    """Return every fault of an admission policy that shows without compiling it."""
    spec = peek(obj, "spec")
    faults: list[FieldError] = []
    match = spec.get("matchConstraints")
    if not isinstance(match, dict):
        faults.append(required("spec.matchConstraints"))
    else:
        faults += _match(match, "spec.matchConstraints", rules_needed=True)
    if obj.get("kind") == "MutatingAdmissionPolicy":
        if not spec.get("mutations"):
            faults.append(required("spec.mutations", "mutations must contain at least one item"))
    elif not spec.get("validations") and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must be specified"
        faults += [required("spec.validations", text), required("spec.auditAnnotations", text)]
    for index, rule in enumerate(each(spec, "validations")):
        if not str(rule.get("expression") or "").strip():
            faults.append(required(f"spec.validations[{index}].expression", "expression is not specified"))
    return faults + one_of(spec.get("failurePolicy"), "spec.failurePolicy", ("Fail", "Ignore"), optional=True)


def _match(match: Object, path: str, *, rules_needed: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    if rules_needed and not match.get("resourceRules"):
        faults.append(required(f"{path}.resourceRules"))
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(each(match, key)):
            faults += rule_faults(rule, f"{path}.{key}[{index}]")
    for key in ("namespaceSelector", "objectSelector"):
        faults += label_selector(match.get(key), f"{path}.{key}")
    return faults


def validate_policy_binding(obj: Object) -> list[FieldError]:
    """Return every fault of the binding of an admission policy."""
    spec = peek(obj, "spec")
    faults = [] if spec.get("policyName") else [required("spec.policyName")]
    if isinstance(spec.get("matchResources"), dict):
        faults += _match(spec["matchResources"], "spec.matchResources", rules_needed=False)
    if obj.get("kind") == "ValidatingAdmissionPolicyBinding":
        actions = spec.get("validationActions") or []
        if not actions:
            faults.append(required("spec.validationActions", "at least one validation action is required"))
        for index, action in enumerate(actions):
            faults += one_of(action, f"spec.validationActions[{index}]", ("Audit", "Deny", "Warn"))
        if "Deny" in actions and "Warn" in actions:
            text = (
                "must not contain both Deny and Warn (repeating the same validation failure information in "
                "the API response and headers serves no purpose)"
            )
            faults.append(invalid("spec.validationActions", actions, text))
    return faults
