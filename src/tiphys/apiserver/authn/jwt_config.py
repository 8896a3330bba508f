"""Reads an ``AuthenticationConfiguration``: JWT authenticators and where anonymous users may come.

Pure. Owns: its grammar and its faults in upstream's words, and what the ``--oidc-*`` flags mean in its terms.
Source: the "Authenticating" page, "Using Authentication Configuration".
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apis.value_validation import domain_prefixed_path
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.expressions import Compile, Expression, ExpressionError
from tiphys.apiserver.config_files import BadConfiguration, Kind, fields, joined, read_file, url_fault

ALGORITHMS: Final = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
_MAX_ISSUERS: Final = 64
_EMAIL_UNCHECKED: Final = (
    "claims.email_verified must be used in claimMappings.username.expression or "
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used "
    "in claimMappings.username.expression"
)
_RESERVED: Final = ("kubernetes.io", "k8s.io")
_ANONYMOUS_GATE: Final = "AnonymousAuthConfigurableEndpoints"
_EGRESS_GATE: Final = "StructuredAuthenticationConfigurationEgressSelector"
_EGRESS: Final = ("controlplane", "cluster")
UNPAIRED: Final = (
    "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
)
_BOTH: Final = (
    "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration "
    "file"
)
_INVALID: Final = "invalid authentication configuration: "
_PREFIXED: Final = fields("claim", "prefix", "expression")
_KIND: Final = Kind(
    "AuthenticationConfiguration",
    fields(
        jwt=fields(
            issuer=fields(
                "url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy",
                "egressSelectorType",
            ),
            claimValidationRules=fields("claim", "requiredValue", "expression", "message"),
            claimMappings=fields(
                username=_PREFIXED, groups=_PREFIXED, uid=fields("claim", "expression"),
                extra=fields("key", "valueExpression"),
            ),
            userValidationRules=fields("expression", "message"),
        ),
        anonymous=fields("enabled", conditions=fields("path")),
    ),
    invalid=_INVALID,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Where a part of the user comes from: a claim with a prefix, or an expression."""

    claim: str = ""
    prefix: str = ""
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for a token's claims or for the user that comes of them."""

    claim: str = ""
    required_value: str = ""
    expression: Expression | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """One issuer: whom to believe, for which audiences, and how claims become a user."""

    url: str
    audiences: tuple[str, ...]
    username: ClaimMapping
    discovery_url: str = ""
    certificate_authority: str = ""
    groups: ClaimMapping = ClaimMapping()
    uid: ClaimMapping = ClaimMapping()
    extra: tuple[tuple[str, Expression], ...] = ()
    claim_rules: tuple[Rule, ...] = ()
    user_rules: tuple[Rule, ...] = ()
    algorithms: tuple[str, ...] = ALGORITHMS
    egress: str = ""
    """The selection through which the issuer is reached; empty: the network's own way."""


@dataclass(frozen=True, slots=True)
class AuthenticationConfig:
    """A whole file. ``anonymous`` None leaves it to ``--anonymous-auth``."""

    issuers: tuple[JwtConfig, ...] = ()
    anonymous: Anonymous | None = None


def from_flags(flags: Mapping[str, Any], own_issuers: Sequence[str] = ()) -> JwtConfig | None:
    """Return the issuer that ``--oidc-*`` flags name, None without one. Raises BadConfiguration."""
    url, client = flags.get("oidc_issuer_url") or "", flags.get("oidc_client_id") or ""
    if bool(url) != bool(client):
        raise BadConfiguration(UNPAIRED)
    if not url:
        return None
    algorithms = tuple(flags.get("oidc_signing_algs") or ("RS256",))
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            raise BadConfiguration(f'oidc: unsupported signing alg: "{algorithm}"')
    faults: list[FieldError] = []
    document = {"jwt": [_entry_of(flags, url, client)]}
    config = _Reader(_no_expressions, own_issuers, faults).read(document)
    if faults:
        raise BadConfiguration(f"{_INVALID}{joined(faults)}")
    return replace(config.issuers[0], algorithms=algorithms)


def _entry_of(flags: Mapping[str, Any], url: str, client: str) -> dict[str, Any]:
    """Return what a file would have to say to mean the same as the flags."""
    claim = flags.get("oidc_username_claim") or "sub"
    prefix = flags.get("oidc_username_prefix") or ""
    if not prefix and claim != "email":
        prefix = f"{url}#"
    mappings = {"username": {"claim": claim, "prefix": "" if prefix == "-" else prefix}}
    if flags.get("oidc_groups_claim"):
        mappings["groups"] = {
            "claim": flags["oidc_groups_claim"],
            "prefix": flags.get("oidc_groups_prefix") or "",
        }
    required = dict(map(_pair, flags.get("oidc_required_claim") or ()))
    return {
        "issuer": {"url": url, "audiences": [client], "certificateAuthority": flags.get("oidc_ca") or ""},
        "claimMappings": mappings,
        "claimValidationRules": [{"claim": name, "requiredValue": value} for name, value in required.items()],
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        why = "malformed pair, expect string=string"
        raise BadConfiguration(f'invalid argument "{text}" for "--oidc-required-claim" flag: {why}')
    return name.strip(), value.strip()


def _no_expressions(text: str, variable: str, *, boolean: bool = False) -> Expression:
    raise ExpressionError(f"flags have no expressions: {text}")


def parse(
    text: str,
    compile_: Compile,
    own_issuers: Sequence[str] = (),
    file: str = "",
    gates: FeatureGates = DEFAULTS,
) -> AuthenticationConfig:
    """Read a file's text; ``own_issuers`` sign service accounts' tokens and may not be named.

    Raises:
        BadConfiguration: with every fault, and with the name of the file where it cannot be read.
    """

    def read(document: Mapping[str, Any], faults: list[FieldError]) -> AuthenticationConfig:
        return _Reader(compile_, own_issuers, faults, gates).read(document)

    unreadable = f'failed to load authentication configuration from file "{file}": '
    kind = replace(_KIND, unreadable=unreadable)
    if not text:
        raise BadConfiguration(f"{kind.unreadable}empty config data", kind.name)
    return read_file(text, kind, read)


def who_is_nobody(config: AuthenticationConfig, flag: bool | None) -> Anonymous:
    """Return where anonymous users may come, as the file or else the flag says; None: it was not given.

    Raises:
        BadConfiguration: both say something.
    """
    if config.anonymous is None:
        return Anonymous(flag is not False)
    if flag is not None:
        raise BadConfiguration(_BOTH, _KIND.name)
    return config.anonymous


class _Reader:
    """Reads one document, gathering every fault."""

    def __init__(
        self,
        compile_: Compile,
        own_issuers: Sequence[str],
        faults: list[FieldError],
        gates: FeatureGates = DEFAULTS,
    ) -> None:
        self.faults = faults
        self._gates = gates
        self._compile = compile_
        self._own_issuers = tuple(own_issuers)

    def read(self, document: Mapping[str, Any]) -> AuthenticationConfig:
        entries = document.get("jwt") or []
        if len(entries) > _MAX_ISSUERS:
            text = f"Too many: {len(entries)}: must have at most {_MAX_ISSUERS} items"
            self.faults.append(FieldError("FieldValueTooMany", "jwt", text))
            return AuthenticationConfig()
        seen: dict[str, set[str]] = {"url": set(), "discoveryURL": set()}
        issuers = []
        for at, entry in enumerate(entries):
            issuers.append(self._issuer(f"jwt[{at}]", entry))
            for key, values in seen.items():
                value = (entry.get("issuer") or {}).get(key) or ""
                if value in values and (value or key == "url"):
                    self.faults.append(field_errors.duplicate(f"jwt[{at}].issuer.{key}", value))
                values.add(value)
        return AuthenticationConfig(tuple(issuers), self._anonymous(document.get("anonymous")))

    def _anonymous(self, spec: Mapping[str, Any] | None) -> Anonymous | None:
        if spec is None:
            return None
        if not self._gates.enabled(_ANONYMOUS_GATE):
            text = f"anonymous is not supported when {_ANONYMOUS_GATE} feature gate is disabled"
            self.faults.append(field_errors.forbidden("anonymous", text))
        enabled, conditions = bool(spec.get("enabled")), spec.get("conditions") or []
        if conditions and not enabled:
            text = "enabled should be set to true when conditions are defined"
            shown = [field_errors.Struct(Path=one.get("path") or "") for one in conditions]
            self.faults.append(field_errors.invalid("anonymous.conditions", shown, text))
        paths = frozenset(str(one.get("path") or "") for one in conditions) if conditions else None
        return Anonymous(enabled, paths)

    def _issuer(self, path: str, entry: Mapping[str, Any]) -> JwtConfig:
        issuer, mappings = entry.get("issuer") or {}, entry.get("claimMappings") or {}
        url, discovery = issuer.get("url") or "", issuer.get("discoveryURL") or ""
        self._check_issuer(f"{path}.issuer", issuer)
        rules = self._claim_rules(f"{path}.claimValidationRules", entry.get("claimValidationRules") or [])
        at = f"{path}.claimMappings"
        username = self._prefixed(f"{at}.username", mappings.get("username") or {}, required=True)
        groups = self._prefixed(f"{at}.groups", mappings.get("groups") or {}, required=False)
        uid = self._uid(f"{at}.uid", mappings.get("uid") or {})
        extra = self._extra(f"{at}.extra", mappings.get("extra") or [])
        self._check_email(at, username, [*(e for _, e in extra), *(r.expression for r in rules)])
        return JwtConfig(
            url,
            tuple(issuer.get("audiences") or ()),
            username,
            discovery,
            issuer.get("certificateAuthority") or "",
            groups,
            uid,
            extra,
            rules,
            self._user_rules(f"{path}.userValidationRules", entry.get("userValidationRules") or []),
            egress=issuer.get("egressSelectorType") or "",
        )

    def _check_issuer(self, path: str, issuer: Mapping[str, Any]) -> None:
        url, discovery = issuer.get("url") or "", issuer.get("discoveryURL") or ""
        if not url:
            self.faults.append(field_errors.required(f"{path}.url"))
        else:
            if url in self._own_issuers:
                shown = " ".join(sorted(self._own_issuers))
                text = f"URL must not overlap with disallowed issuers: [{shown}]"
                self.faults.append(field_errors.invalid(f"{path}.url", url, text))
            self.faults += _url_faults(f"{path}.url", url)
        if discovery:
            if url and url.rstrip("/") == discovery.rstrip("/"):
                text = "discoveryURL must be different from URL"
                self.faults.append(field_errors.invalid(f"{path}.discoveryURL", discovery, text))
            self.faults += _url_faults(f"{path}.discoveryURL", discovery)
        self.faults += _audience_faults(path, issuer)
        authority = issuer.get("certificateAuthority") or ""
        if authority and not _is_bundle(authority):
            text = "data does not contain any valid RSA or ECDSA certificates"
            self.faults.append(field_errors.invalid(f"{path}.certificateAuthority", "<omitted>", text))
        egress = issuer.get("egressSelectorType") or ""
        if egress and not self._gates.enabled(_EGRESS_GATE):
            text = f"egress selector is not supported when {_EGRESS_GATE} feature gate is disabled"
            self.faults.append(field_errors.invalid(f"{path}.egressSelectorType", egress, text))
        if egress and egress not in _EGRESS:
            text = "egress selector must be either controlplane or cluster"
            self.faults.append(field_errors.invalid(f"{path}.egressSelectorType", egress, text))

    def _compiled(self, path: str, text: str, variable: str, *, boolean: bool = False) -> Expression | None:
        try:
            return self._compile(text, variable, boolean=boolean)
        except ExpressionError as error:
            self.faults.append(field_errors.invalid(path, text, str(error)))
            return None

    def _prefixed(self, path: str, spec: Mapping[str, Any], *, required: bool) -> ClaimMapping:
        claim, expression, prefix = spec.get("claim") or "", spec.get("expression") or "", spec.get("prefix")
        if claim and expression:
            self.faults.append(field_errors.invalid(path, "", "claim and expression can't both be set"))
        elif not claim and not expression and required:
            self.faults.append(field_errors.required(path, "claim or expression is required"))
        elif expression:
            compiled = self._compiled(f"{path}.expression", expression, "claims")
            if prefix is None:
                return ClaimMapping(expression=compiled)
            text = "may not be specified when expression is set"
            self.faults.append(field_errors.invalid(f"{path}.prefix", prefix, text))
        elif claim and prefix is None:
            text = (
                "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            )
            self.faults.append(field_errors.required(f"{path}.prefix", text))
        return ClaimMapping(claim, prefix or "")

    def _uid(self, path: str, spec: Mapping[str, Any]) -> ClaimMapping:
        claim, expression = spec.get("claim") or "", spec.get("expression") or ""
        if claim and expression:
            self.faults.append(field_errors.invalid(path, "", "claim and expression can't both be set"))
        elif expression:
            return ClaimMapping(expression=self._compiled(f"{path}.expression", expression, "claims"))
        return ClaimMapping(claim)

    def _extra(self, path: str, entries: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, Expression], ...]:
        found: dict[str, Expression] = {}
        seen: set[str] = set()
        for at, entry in enumerate(entries):
            key, text = entry.get("key") or "", entry.get("valueExpression") or ""
            self.faults += _key_faults(f"{path}[{at}].key", key)
            if key in seen:
                self.faults.append(field_errors.duplicate(f"{path}[{at}].key", key))
                continue
            seen.add(key)
            if not text:
                self.faults.append(field_errors.required(f"{path}[{at}].valueExpression"))
                continue
            expression = self._compiled(f"{path}[{at}].valueExpression", text, "claims")
            if expression is not None:
                found[key] = expression
        return tuple(found.items())

    def _claim_rules(self, path: str, rules: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
        found = []
        seen: set[tuple[str, str]] = set()
        for number, rule in enumerate(rules):
            at = f"{path}[{number}]"
            claim, text = rule.get("claim") or "", rule.get("expression") or ""
            message, value = rule.get("message") or "", rule.get("requiredValue") or ""
            unwanted = ("message", message, "claim") if claim else ("requiredValue", value, "expression")
            if claim and text:
                self.faults.append(field_errors.invalid(at, claim, "claim and expression can't both be set"))
                continue
            if not claim and not text:
                self.faults.append(field_errors.required(at, "claim or expression is required"))
                continue
            if unwanted[1]:
                why = f"may not be specified when {unwanted[2]} is set"
                self.faults.append(field_errors.invalid(f"{at}.{unwanted[0]}", unwanted[1], why))
            name = "claim" if claim else "expression"
            if (name, claim or text) in seen:
                self.faults.append(field_errors.duplicate(f"{at}.{name}", claim or text))
                continue
            seen.add((name, claim or text))
            expression = self._compiled(f"{at}.expression", text, "claims", boolean=True) if text else None
            found.append(Rule(claim, value, expression, message))
        return tuple(found)

    def _user_rules(self, path: str, rules: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
        found = []
        seen: set[str] = set()
        for at, rule in enumerate(rules):
            text = rule.get("expression") or ""
            if not text:
                self.faults.append(field_errors.required(f"{path}[{at}].expression"))
            elif text in seen:
                self.faults.append(field_errors.duplicate(f"{path}[{at}].expression", text))
            else:
                expression = self._compiled(f"{path}[{at}].expression", text, "user", boolean=True)
                found.append(Rule(expression=expression, message=rule.get("message") or ""))
            seen.add(text)
        return tuple(found)

    def _check_email(self, path: str, username: ClaimMapping, others: Sequence[Expression | None]) -> None:
        """Who takes names from ``claims.email`` must look at ``claims.email_verified`` somewhere."""
        own = username.expression
        if own is None or not own.selects("email"):
            return
        if not any(one is not None and one.selects("email_verified") for one in (own, *others)):
            text = _EMAIL_UNCHECKED
            self.faults.append(field_errors.invalid(f"{path}.username.expression", own.text, text))


def _url_faults(path: str, url: str) -> list[FieldError]:
    fault = url_fault(url)
    if fault:
        return [field_errors.invalid(path, url, fault)]
    parts = urlsplit(url)
    checks = (
        (parts.scheme != "https", "URL scheme must be https"),
        ("@" in parts.netloc, "URL must not contain a username or password"),
        (bool(parts.query), "URL must not contain a query"),
        (bool(parts.fragment), "URL must not contain a fragment"),
    )
    return [field_errors.invalid(path, url, text) for wrong, text in checks if wrong]


def _audience_faults(path: str, issuer: Mapping[str, Any]) -> list[FieldError]:
    audiences, policy = issuer.get("audiences") or [], issuer.get("audienceMatchPolicy") or ""
    if not audiences:
        name = f"{path}.audiences"
        return [field_errors.required(name, f"at least one {name} is required")]
    faults, seen = [], set()
    for at, audience in enumerate(audiences):
        if not audience:
            faults.append(field_errors.required(f"{path}.audiences[{at}]"))
        if audience in seen:
            faults.append(field_errors.duplicate(f"{path}.audiences[{at}]", audience))
        seen.add(audience)
    several = len(audiences) > 1
    if (several and policy != "MatchAny") or (not several and policy not in ("", "MatchAny")):
        text = (
            "audienceMatchPolicy must be MatchAny for multiple audiences"
            if several
            else "audienceMatchPolicy must be empty or MatchAny for single audience"
        )
        faults.append(field_errors.invalid(f"{path}.audienceMatchPolicy", policy, text))
    return faults


def _key_faults(path: str, key: str) -> list[FieldError]:
    domain, slash, _ = key.partition("/")
    faults = domain_prefixed_path(key, path)
    if key != key.lower():
        faults.append(field_errors.invalid(path, key, "must be lowercase"))
    if slash and any(domain == own or domain.endswith(f".{own}") for own in _RESERVED):
        text = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
        faults.append(field_errors.invalid(path, key, text))
    return faults


def _is_bundle(pem: str) -> bool:
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return True
