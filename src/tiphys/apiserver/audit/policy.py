"""The audit policy: which requests are kept, and how much of each. Pure.

Owns: reading a policy file and its faults, the first rule that matches. Source: audit.k8s.io/v1 Policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.requestinfo import RequestInfo

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

    def matches(self, user: User, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and not any(group in self.groups for group in user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._is_resource(info)
        if self.urls:
            return not info.is_resource and any(_url_matches(url, info.path) for url in self.urls)
        return True

    def _is_resource(self, info: RequestInfo) -> bool:
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(_resource_matches(one, info) for one in self.resources)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order; a request that none matches is not kept."""

    rules: tuple[Rule, ...]
    nothing: Verdict

    def judge(self, user: User, info: RequestInfo) -> Verdict:
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.verdict
        return self.nothing


def _resource_matches(wanted: Mapping[str, Any], info: RequestInfo) -> bool:
    if wanted.get("group", "") not in ("*", info.group):
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
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadPolicy(f"failed decoding: {error}") from error
    if not isinstance(found, dict):
        raise BadPolicy("failed decoding: expected an object")
    if (found.get("apiVersion"), found.get("kind")) != (API_VERSION, "Policy"):
        raise BadPolicy(f"expected {API_VERSION} Policy, got {found.get('apiVersion')} {found.get('kind')}")
    rules = found.get("rules") or []
    if not rules:
        raise BadPolicy("loaded illegal policy with 0 rules")
    faults = [fault for index, rule in enumerate(rules) for fault in _faults(rule, f"rules[{index}]")]
    faults += _stage_faults(found, "")
    if faults:
        raise BadPolicy("; ".join(faults))
    omitted = frozenset(found.get("omitStages") or ())
    managed = bool(found.get("omitManagedFields"))
    read = tuple(_rule(rule, omitted, omit_managed_fields=managed) for rule in rules)
    return Policy(read, Verdict(NONE, omitted))


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


def _faults(rule: Mapping[str, Any], path: str) -> Iterable[str]:
    if not isinstance(rule, dict):
        return [f"{path}: expected an object"]
    faults = []
    level = rule.get("level")
    if not level:
        faults.append(f"{path}.level: Required value")
    elif level not in LEVELS:
        known = ", ".join(f'"{one}"' for one in LEVELS)
        faults.append(f'{path}.level: Unsupported value: "{level}": supported values: {known}')
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        faults.append(
            f"{path}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and "
            "non-resource URLs"
        )
    for index, url in enumerate(rule.get("nonResourceURLs") or ()):
        if url != "*" and not url.startswith("/"):
            faults.append(
                f'{path}.nonResourceURLs[{index}]: Invalid value: "{url}": '
                "non-resource URL rules must begin with a '/' character"
            )
        elif "*" in url[:-1]:
            faults.append(
                f'{path}.nonResourceURLs[{index}]: Invalid value: "{url}": '
                "non-resource URL wildcards '*' must be the final character of the rule"
            )
    return [*faults, *_stage_faults(rule, f"{path}.")]


def _stage_faults(holder: Mapping[str, Any], path: str) -> list[str]:
    return [
        f'{path}omitStages[{index}]: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}'
        for index, stage in enumerate(holder.get("omitStages") or ())
        if stage not in STAGES
    ]
