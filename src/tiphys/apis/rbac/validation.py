"""Rules of roles and bindings. Who may grant what is the server's (escalation checks need its authorizer)."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, invalid_all, not_supported, required
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apis.inside import inside
from tiphys.apis.value_validation import label_selector

GROUP = "rbac.authorization.k8s.io"


def validate_role(obj: Object) -> list[FieldError]:
    """Return every fault of a Role."""
    return _rules(obj, namespaced=True)


def validate_cluster_role(obj: Object) -> list[FieldError]:
    """Return every fault of a ClusterRole."""
    faults = _rules(obj, namespaced=False)
    rule = obj.get("aggregationRule")
    if not isinstance(rule, dict):
        return faults
    selectors = list(each(rule, "clusterRoleSelectors"))
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        faults.append(required("aggregationRule.clusterRoleSelectors", text))
    for index, selector in enumerate(selectors):
        at = f"aggregationRule.clusterRoleSelectors[{index}]"
        wrong = label_selector(selector, at)
        faults += [*wrong, invalid(at, None, "invalid label selector.")] if wrong else []
    return faults


def _rules(obj: Object, *, namespaced: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, rule in enumerate(each(obj, "rules")):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            faults.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                faults.append(invalid(f"{path}.nonResourceURLs", urls, text))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                faults.append(invalid(f"{path}.nonResourceURLs", urls, text))
            continue
        if not rule.get("apiGroups"):
            text = "resource rules must supply at least one api group"
            faults.append(required(f"{path}.apiGroups", text))
        if not rule.get("resources"):
            text = "resource rules must supply at least one resource"
            faults.append(required(f"{path}.resources", text))
    return faults


def validate_role_binding(obj: Object) -> list[FieldError]:
    """Return every fault of a RoleBinding."""
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def validate_cluster_role_binding(obj: Object) -> list[FieldError]:
    """Return every fault of a ClusterRoleBinding."""
    return _binding(obj, ("ClusterRole",), namespaced=False)


def _binding(obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> list[FieldError]:
    reference = peek(obj, "roleRef")
    faults: list[FieldError] = []
    if reference.get("apiGroup") != GROUP:
        faults.append(not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", [GROUP]))
    if reference.get("kind") not in kinds:
        faults.append(not_supported("roleRef.kind", reference.get("kind") or "", kinds))
    name = reference.get("name") or ""
    if not name:
        faults.append(required("roleRef.name"))
    else:
        faults += invalid_all("roleRef.name", name, names.is_path_segment_name(name))
    for index, subject in enumerate(each(obj, "subjects")):
        faults += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
    return faults


def _subject(subject: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    kind, name, group = (subject.get(key) or "" for key in ("kind", "name", "apiGroup"))
    faults = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            faults += invalid_all(f"{path}.name", name, names.is_dns1123_subdomain(name))
        if group:
            faults.append(not_supported(f"{path}.apiGroup", group, [""]))
        # In a namespace, the account is of the binding's own unless it says otherwise.
        if not namespaced and not subject.get("namespace"):
            faults.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            faults.append(not_supported(f"{path}.apiGroup", group, [GROUP]))
    else:
        faults.append(not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))
    return faults


def same_role(new: Object, old: Object) -> list[FieldError]:
    """A binding's role never changes."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid("roleRef", inside("RoleRef", peek(new, "roleRef")), "cannot change roleRef")]
