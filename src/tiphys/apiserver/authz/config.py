"""Reads an ``AuthorizationConfiguration``, and makes the authorizers that it or the flags name.

Owns: its grammar and its faults in upstream's words, and taking over a changed file while serving.
Source: the "Authorization" page, "Configuring the API Server using an Authorization Config File".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from tiphys.apimachinery import field_errors, names
from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration, parse_go_duration
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.families import Metric
from tiphys.apiserver.authn.expressions import Compile, Expression, ExpressionError, compile_expression
from tiphys.apiserver.authz.abac import Abac
from tiphys.apiserver.authz.authorizer import Authorizer, Mode
from tiphys.apiserver.authz.counts import AuthorizerCounts
from tiphys.apiserver.authz.webhook import WebhookAuthorizer, WebhookSettings
from tiphys.apiserver.config_files import BadConfiguration, Kind, fields, read_file
from tiphys.apiserver.observe.certificate_counts import CertificateCounts
from tiphys.apiserver.options import ApiServerOptions
from tiphys.apiserver.outgoing.remote import Remote, check_version
from tiphys.apiserver.reloading import Reloads
from tiphys.client.kubeconfig import ConfigError

log = logging.getLogger(__name__)
_ABAC: Final = "ABAC"
_TYPES: Final = (_ABAC, "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_STARTED: Final = (_ABAC, "Node", "RBAC")
"""Types that need what a server only has where they were there from its start."""
_MAX_CONDITIONS: Final = 64
_MAX_TIMEOUT_S: Final = 30.0
_IN_CLUSTER: Final = "InClusterConfig"
_KUBECONFIG: Final = "KubeConfigFile"
_KIND: Final = Kind(
    "AuthorizationConfiguration",
    fields(
        authorizers=fields(
            "type", "name",
            webhook=fields(
                "authorizedTTL", "cacheAuthorizedRequests", "unauthorizedTTL", "cacheUnauthorizedRequests",
                "timeout", "subjectAccessReviewVersion", "matchConditionSubjectAccessReviewVersion",
                "failurePolicy", connectionInfo=fields("type", "kubeConfigFile"),
                matchConditions=fields("expression"),
            ),
        )
    ),
    unreadable="failed to load AuthorizationConfiguration from file: ",
)  # fmt: skip
_EMPTY: Final = "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration}"
"""What a file without a text means."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of a file; ``kubeconfig`` is None where it is to be the API of the server's own cluster."""

    settings: WebhookSettings
    kubeconfig: Path | None
    timeout_s: float


def parse(text: str, compile_: Compile, required: Iterable[str] = ()) -> tuple[str | Webhook, ...]:
    """Return the authorizers of a file in their order; ``required`` are types that may not be missing.

    Raises:
        BadConfiguration: with every fault.
    """

    def read(document: Mapping[str, Any], faults: list[FieldError]) -> tuple[list[str | Webhook], list[str]]:
        entries = document.get("authorizers") or []
        found = _authorizers(entries, faults, compile_)
        return found, [] if faults else _misnamed(entries, frozenset(required))

    found, wrong = read_file(text or _EMPTY, _KIND, read)
    if wrong:
        raise BadConfiguration(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]", _KIND.name)
    return tuple(found)


def _misnamed(entries: Sequence[Mapping[str, Any]], required: frozenset[str]) -> list[str]:
    """Return what is said of types that go by another name than their own, and of those that are missing."""
    own = [(str(one["type"]), str(one["name"])) for one in entries if one["type"] != "Webhook"]
    texts = [
        f"expected name {kind.lower()} for authorizer {kind} instead of {name}"
        for kind, name in own
        if name != kind.lower()
    ]
    missing = sorted(required - {kind for kind, _ in own})
    return [*texts, f"missing required types: [{' '.join(missing)}]"] if missing else texts


def _authorizers(
    entries: Sequence[Mapping[str, Any]], faults: list[FieldError], compile_: Compile
) -> list[str | Webhook]:
    if not entries:
        text = "at least one authorization mode must be defined"
        faults.append(field_errors.required("authorizers", text))
    found: list[str | Webhook] = []
    seen: set[str] = set()
    taken: set[str] = set()
    for at, entry in enumerate(entries):
        path, kind, name = f"authorizers[{at}]", entry.get("type") or "", entry.get("name") or ""
        if not kind:
            faults.append(field_errors.required(f"{path}.type"))
            continue
        if kind not in _TYPES:
            faults.append(field_errors.not_supported(f"{path}.type", kind, _TYPES))
            continue
        if kind in seen and kind != "Webhook":
            faults.append(field_errors.duplicate(f"{path}.type", kind))
            continue
        seen.add(kind)
        faults += _name_faults(f"{path}.name", name, taken)
        taken.add(name)
        webhook = entry.get("webhook")
        if kind != "Webhook":
            if webhook is not None:
                text = "may only be specified when type=Webhook"
                faults.append(field_errors.invalid(f"{path}.webhook", "non-null", text))
            found.append(kind)
        elif webhook is None:
            faults.append(field_errors.required(f"{path}.webhook", "required when type=Webhook"))
        else:
            found.append(_webhook(path, name, webhook, faults, compile_))
    return found


def _name_faults(path: str, name: str, taken: set[str]) -> list[FieldError]:
    if not name:
        return [field_errors.required(path)]
    if name in taken:
        return [field_errors.duplicate(path, name)]
    problems = names.is_dns1123_subdomain(name)
    text = f"authorizer name is invalid: {', '.join(problems)}"
    return [field_errors.invalid(path, name, text)] if problems else []


def _webhook(
    path: str, name: str, spec: Mapping[str, Any], faults: list[FieldError], compile_: Compile
) -> Webhook:
    timeout_s = _timeout(f"{path}.timeout", spec.get("timeout"), faults)
    authorized_s = _ttl(f"{path}.authorizedTTL", spec, 300.0, faults)
    unauthorized_s = _ttl(f"{path}.unauthorizedTTL", spec, 30.0, faults)
    version = _one_of(f"{path}.subjectAccessReviewVersion", spec, ("v1", "v1beta1"), faults)
    conditions = spec.get("matchConditions") or []
    if spec.get("matchConditionSubjectAccessReviewVersion"):
        _one_of(f"{path}.matchConditionSubjectAccessReviewVersion", spec, ("v1",), faults)
    elif conditions:
        text = "required if match conditions are specified"
        faults.append(field_errors.required(f"{path}.matchConditionSubjectAccessReviewVersion", text))
    policy = _one_of(f"{path}.failurePolicy", spec, ("NoOpinion", "Deny"), faults)
    kubeconfig = _connection(f"{path}.connectionInfo", spec.get("connectionInfo") or {}, faults)
    if spec.get("cacheAuthorizedRequests") is False:
        authorized_s = 0.0
    if spec.get("cacheUnauthorizedRequests") is False:
        unauthorized_s = 0.0
    settings = WebhookSettings(
        name,
        version,
        authorized_s,
        unauthorized_s,
        policy == "Deny",
        tuple(_conditions(f"{path}.matchConditions", conditions, faults, compile_)),
    )
    return Webhook(settings, kubeconfig, timeout_s)


def _ttl(path: str, spec: Mapping[str, Any], default_s: float, faults: list[FieldError]) -> float:
    """Return how long an answer is remembered; no time, and none at all, mean the default."""
    value = spec.get(path.rpartition(".")[2])
    seconds = 0.0 if value is None else parse_go_duration(value)
    if seconds < 0:
        faults.append(field_errors.invalid(path, go_duration(seconds), "must be > 0s"))
    return seconds or default_s


def _timeout(path: str, value: Any, faults: list[FieldError]) -> float:
    seconds = 0.0 if value is None else parse_go_duration(value)
    if not seconds:
        faults.append(field_errors.required(path))
    elif not 0 < seconds <= _MAX_TIMEOUT_S:
        faults.append(field_errors.invalid(path, go_duration(seconds), "must be > 0s and <= 30s"))
    return seconds


def _one_of(path: str, spec: Mapping[str, Any], values: Sequence[str], faults: list[FieldError]) -> str:
    value = str(spec.get(path.rpartition(".")[2]) or "")
    if not value:
        faults.append(field_errors.required(path))
    elif value not in values:
        faults.append(field_errors.not_supported(path, value, values))
    return value


def _conditions(
    path: str, conditions: Sequence[Mapping[str, Any]], faults: list[FieldError], compile_: Compile
) -> list[Expression]:
    if len(conditions) > _MAX_CONDITIONS:
        text = f"Too many: {len(conditions)}: must have at most {_MAX_CONDITIONS} items"
        faults.append(FieldError("FieldValueTooMany", path, text))
        return []
    found: list[Expression] = []
    seen: set[str] = set()
    for at, condition in enumerate(conditions):
        where, text = f"{path}[{at}].expression", str(condition.get("expression") or "")
        if not text.strip():
            faults.append(field_errors.required(where))
        elif text in seen:
            faults.append(field_errors.duplicate(where, text))
        else:
            try:
                found.append(compile_(text, "request", boolean=True))
            except ExpressionError as error:
                faults.append(field_errors.invalid(where, text, str(error)))
        seen.add(text)
    return found


def _connection(path: str, info: Mapping[str, Any], faults: list[FieldError]) -> Path | None:
    kind, file = info.get("type") or "", info.get("kubeConfigFile")
    if not kind:
        faults.append(field_errors.required(f"{path}.type"))
    elif kind == _IN_CLUSTER:
        if file is not None:
            text = f"can only be set when type={_KUBECONFIG}"
            faults.append(field_errors.invalid(f"{path}.kubeConfigFile", file, text))
    elif kind != _KUBECONFIG:
        shown = field_errors.Struct(Type=kind, KubeConfigFile=file)
        faults.append(field_errors.not_supported(f"{path}.type", shown, (_IN_CLUSTER, _KUBECONFIG)))
    else:
        faults += _file_faults(f"{path}.kubeConfigFile", str(file or ""))
        return Path(str(file or ""))
    return None


def _file_faults(path: str, file: str) -> list[FieldError]:
    if not file:
        return [field_errors.required(path)]
    if not Path(file).is_absolute():
        return [field_errors.invalid(path, file, "must be an absolute path")]
    try:
        mode = Path(file).stat().st_mode
    except OSError as error:
        text = f"error loading file: stat {file}: {(error.strerror or str(error)).lower()}"
        return [field_errors.invalid(path, file, text)]
    return [] if S_ISREG(mode) else [field_errors.invalid(path, file, "must be a regular file")]


class ConfiguredModes:
    """The authorizers of the options; ``reload`` takes over a changed file.

    ``certificates`` counts those of webhooks.
    """

    def __init__(
        self, options: ApiServerOptions, clock: Clock, certificates: CertificateCounts | None = None
    ) -> None:
        self._options = options
        self._clock = clock
        self._certificates = certificates
        self._read = ""
        self._reloads = Reloads("authorization", clock)
        self.counts = AuthorizerCounts()
        policies = options.authorization_policies
        self.abac = Abac(policies) if policies is not None else None
        self._found: tuple[str | Webhook, ...] = ()
        """What was read last, taken over or not."""
        self._types: frozenset[str] = frozenset()
        """What the file had at the start, and must keep: no change of it takes away what guards the API."""

    def modes(self) -> list[Mode]:
        """Return what to ask. Raises BadConfiguration, ConfigError, OSError."""
        options = self._options
        if options.authorization_config is not None:
            self._read = options.authorization_config.read_text()
            self._found = parse(self._read, compile_expression)
            self._reloads.succeeded(self._read)
            self._types = frozenset(one for one in self._found if isinstance(one, str))
            if _ABAC in self._types and self.abac is None:
                text = "authorization-mode ABAC's authorization policy file not passed"
                raise BadConfiguration(text, _KIND.name)
            return [self._mode(one) for one in self._found]
        return [self._from_flags() if mode == "Webhook" else mode for mode in options.authorization_modes]

    def reload(self, authorizer: Authorizer) -> bool:
        """Take over a changed file; tell whether it was. A faulty one changes nothing."""
        path = self._options.authorization_config
        if path is None:
            return False
        try:
            read = path.read_text()
            if read == self._read:
                return False
            self._read = read  # one that is faulty will not be less so when it is read again
            found = parse(read, compile_expression, self._types)
            if found == self._found:
                return False
            self._found = found
            self._check_new(found)
            authorizer.replace([self._mode(one) for one in found])
        except (OSError, ValueError, ConfigError) as error:
            self._reloads.failed()
            log.error("authorization configuration not reloaded path=%s why=%s", path, error)
            return False
        self._reloads.succeeded(read)
        log.info("authorization configuration reloaded path=%s", path)
        return True

    def _check_new(self, found: Iterable[str | Webhook]) -> None:
        """Raise BadConfiguration for types that can only be there from the start, and were not."""
        for one in found:
            if isinstance(one, str) and one in _STARTED and one not in self._types:
                text = f"authorizer type {one} is not allowed if it was not enabled at initial server startup"
                raise BadConfiguration(text, _KIND.name)

    def collect(self) -> Iterable[Metric]:
        """Yield what is counted of authorizers and of the file."""
        yield from self.counts.collect()
        if self._options.authorization_config is not None:
            yield from self._reloads.collect()

    def _mode(self, one: str | Webhook) -> Mode:
        if isinstance(one, str):
            return one
        if one.kubeconfig is None:  # it would ask itself for leave to be asked
            text = f"authorizer {one.settings.name}: connection type {_IN_CLUSTER} is not allowed"
            raise BadConfiguration(f"{text} for the API server itself", _KIND.name)
        remote = Remote.from_kubeconfig(
            one.kubeconfig,
            timeout_s=one.timeout_s,
            through=self._options.egress.controlplane,
            certificates=self._certificates,
        )
        return WebhookAuthorizer(remote, one.settings, self._clock, self.counts)

    def _from_flags(self) -> Mode:
        options = self._options
        if options.authorization_webhook_config is None:
            raise BadConfiguration("authorization-mode Webhook's authorization config file not passed")
        check_version("webhook authorizer", options.authorization_webhook_version)
        settings = WebhookSettings(
            version=options.authorization_webhook_version,
            authorized_ttl_s=options.authorization_webhook_authorized_ttl_s,
            unauthorized_ttl_s=options.authorization_webhook_unauthorized_ttl_s,
        )
        remote = Remote.from_kubeconfig(
            options.authorization_webhook_config,
            through=options.egress.controlplane,
            certificates=self._certificates,
        )
        return WebhookAuthorizer(remote, settings, self._clock, self.counts)
