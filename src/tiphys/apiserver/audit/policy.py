"""The audit policy: which requests are kept, and how much of each. Pure.

Owns: reading a policy file and its faults, the first rule that matches. Source: audit.k8s.io/v1 Policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tiphys.apimachinery import field_errors, go_yaml, names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.schema.type_meta import NO_KIND
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.config_files import fields, joined, strangeness
from tiphys.apiserver.filters.requestinfo import RequestInfo

API_VERSION: Final = "audit.k8s.io/v1"
NONE: Final = "None"
METADATA: Final = "Metadata"
REQUEST: Final = "Request"
REQUEST_RESPONSE: Final = "RequestResponse"
LEVELS: Final = (NONE, METADATA, REQUEST, REQUEST_RESPONSE)
RECEIVED: Final = "RequestReceived"
STARTED: Final = "ResponseStarted"
COMPLETE: Final = "ResponseComplete"
PANIC: Final = "Panic"
STAGES: Final = (RECEIVED, STARTED, COMPLETE, PANIC)
_FIELDS: Final = fields(
    "metadata", "omitStages", "omitManagedFields",
    rules=fields(
        "level", "users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages",
        "omitManagedFields", resources=fields("group", "resources", "resourceNames"),
    ),
)  # fmt: skip


class BadPolicy(ValueError):
    """A policy file that is none; the message says every fault."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is kept of one request."""

    level: str
    omit_stages: frozenset[str]
    omit_managed_fields: bool = False

    @property
    def with_request(self) -> bool:
        return self.level in (REQUEST, REQUEST_RESPONSE)

    @property
    def with_response(self) -> bool:
        return self.level == REQUEST_RESPONSE


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; empty means any."""

    verdict: Verdict
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()
    namespaces: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def matches(self, user: User | None, info: RequestInfo) -> bool:
        """Whether it is about a request; one whose user is not known is none of any user's."""
        if not self._is_user(user):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._is_resource(info)
        if self.urls:
            return not info.is_resource and any(_url_matches(url, info.path) for url in self.urls)
        return True

    def _is_user(self, user: User | None) -> bool:
        if user is None:
            return not self.users and not self.groups
        if self.users and user.name not in self.users:
            return False
        return not self.groups or any(group in self.groups for group in user.groups)

    def _is_resource(self, info: RequestInfo) -> bool:
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(_resource_matches(one, info) for one in self.resources)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order; a request that none matches is not kept."""

    rules: tuple[Rule, ...]
    nothing: Verdict
    strange: str = ""
    """What its file has that policies do not."""

    def judge(self, user: User | None, info: RequestInfo) -> Verdict:
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.verdict
        return self.nothing


def _resource_matches(wanted: Mapping[str, Any], info: RequestInfo) -> bool:
    if (wanted.get("group") or "") not in ("*", info.group):
        return False
    resources = wanted.get("resources") or ()
    if not resources:
        return True
    names = wanted.get("resourceNames") or ()
    if names and info.name not in names:
        return False
    combined = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return any(
        one in ("*", combined)
        or (info.subresource and one == f"*/{info.subresource}")
        or one == f"{info.resource}/*"
        for one in resources
    )


def _url_matches(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def parse(text: str) -> Policy:
    """Read a policy file. Raises BadPolicy with every fault."""
    try:
        found, _ = go_yaml.load(text)
    except go_yaml.YamlError as error:
        raise BadPolicy(f"failed decoding: {error}") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise BadPolicy(f"failed decoding: {NO_KIND}: the document is no object")
    version, kind = found.get("apiVersion"), found.get("kind") or "Policy"
    if version and (version, kind) != (API_VERSION, "Policy"):
        raise BadPolicy(f'failed decoding: no kind "{kind}" is registered for version "{version}"')
    try:
        return _policy(text, found)
    except (AttributeError, TypeError) as error:
        raise BadPolicy("failed decoding: a field of the Policy has the wrong type") from error


def _policy(text: str, found: Mapping[str, Any]) -> Policy:
    if not found.get("apiVersion"):
        kind = found.get("kind") or "Policy"
        raise BadPolicy(f"unknown group version field audit.k8s.io/__internal, Kind={kind} in policy")
    rules = found.get("rules") or []
    faults = _stage_faults(found, "")
    faults += [fault for index, rule in enumerate(rules) for fault in _faults(rule, f"rules[{index}]")]
    if faults:
        raise BadPolicy(joined(faults))
    if not rules:
        raise BadPolicy("loaded illegal policy with 0 rules")
    omitted = frozenset(found.get("omitStages") or ())
    managed = bool(found.get("omitManagedFields"))
    read = tuple(_rule(rule, omitted, omit_managed_fields=managed) for rule in rules)
    return Policy(read, Verdict(NONE, omitted), strangeness(text, found, _FIELDS))


def _rule(rule: Mapping[str, Any], omitted: frozenset[str], *, omit_managed_fields: bool) -> Rule:
    own = rule.get("omitManagedFields")
    verdict = Verdict(
        rule["level"],
        omitted | frozenset(rule.get("omitStages") or ()),
        omit_managed_fields if own is None else bool(own),
    )
    return Rule(
        verdict, tuple(rule.get("users") or ()), tuple(rule.get("userGroups") or ()),
        tuple(rule.get("verbs") or ()), tuple(rule.get("resources") or ()),
        tuple(rule.get("namespaces") or ()), tuple(rule.get("nonResourceURLs") or ()),
    )  # fmt: skip


def _faults(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    if not (level := rule.get("level")):
        faults.append(field_errors.required(f"{path}.level"))
    elif level not in LEVELS:
        faults.append(field_errors.not_supported(f"{path}.level", level, LEVELS))
    urls, resources = rule.get("nonResourceURLs") or [], rule.get("resources") or []
    faults += _url_faults(urls, f"{path}.nonResourceURLs")
    faults += _resource_faults(resources, f"{path}.resources")
    faults += _stage_faults(rule, f"{path}.")
    if urls and (resources or rule.get("namespaces")):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        faults.append(field_errors.invalid(f"{path}.nonResourceURLs", urls, text))
    return faults


def _url_faults(urls: Iterable[str], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for index, url in enumerate(urls):
        if url == "*":
            continue
        if not url.startswith("/"):
            text = "non-resource URL rules must begin with a '/' character"
            faults.append(field_errors.invalid(f"{path}[{index}]", url, text))
        if "*" in url[:-1]:
            text = "non-resource URL wildcards '*' must be the final character of the rule"
            faults.append(field_errors.invalid(f"{path}[{index}]", url, text))
    return faults


def _resource_faults(resources: Iterable[Mapping[str, Any]], path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    for one in resources:
        group = one.get("group") or ""
        if group not in ("", "*") and (problems := names.is_dns1123_subdomain(group)):
            faults.append(field_errors.invalid(f"{path}.group", group, ",".join(problems)))
        if (named := one.get("resourceNames")) and not one.get("resources"):
            text = "using resourceNames requires at least one resource"
            faults.append(field_errors.invalid(f"{path}.resourceNames", named, text))
    return faults


def _stage_faults(holder: Mapping[str, Any], path: str) -> list[FieldError]:
    text = f"allowed stages are {','.join(STAGES)}"
    return [
        field_errors.invalid(f"{path}omitStages[{index}]", stage, text)
        for index, stage in enumerate(holder.get("omitStages") or ())
        if stage not in STAGES
    ]
