"""The authentication configuration: what it means, and every fault in upstream's words."""
# ruff: noqa: E501

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tiphys.apimachinery.compatibility import Effective
from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.expressions import ExpressionError, compile_expression
from tiphys.apiserver.authn.jwt_config import (
    ClaimMapping,
    JwtConfig,
    Rule,
    from_flags,
    parse,
    who_is_nobody,
)
from tiphys.apiserver.config_files import BadConfiguration


@dataclass(frozen=True)
class Text:
    """An expression that is only looked at."""

    text: str

    def selects(self, field: str) -> bool:
        return field in re.split(r"\W+", self.text)

    def evaluate(self, value: Any) -> Any:
        raise AssertionError


def compiled(text: str, variable: str, *, boolean: bool = False) -> Text:
    if text == "bad":
        raise ExpressionError("compilation failed")
    return Text(f"{variable}:{text}" if text == "v" else text)


def issuer(**changes: Any) -> dict[str, Any]:
    return {"url": "https://i.example", "audiences": ["a"], **changes}


def document(*entries: dict[str, Any], **rest: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": list(entries),
            **rest,
        }
    )


SUB = {"username": {"claim": "sub", "prefix": ""}}


def entry(mappings: Any = None, issuer_: Any = None, **rest: Any) -> dict[str, Any]:
    return {"issuer": issuer_ or issuer(), "claimMappings": mappings or SUB, **rest}


def test_a_whole_issuer() -> None:
    text = document(
        entry(
            {
                "username": {"claim": "email", "prefix": "o:"},
                "groups": {"claim": "roles", "prefix": "g:"},
                "uid": {"claim": "oid"},
                "extra": [{"key": "acme.com/x", "valueExpression": "claims.x"}],
            },
            issuer(discoveryURL="https://d.example/x", audiences=["a", "b"], audienceMatchPolicy="MatchAny"),
            claimValidationRules=[
                {"claim": "hd", "requiredValue": "acme.com"},
                {"expression": "v", "message": "m"},
            ],
            userValidationRules=[{"expression": "v", "message": "w"}],
        ),
        anonymous={"enabled": True, "conditions": [{"path": "/livez"}]},
    )
    config = parse(text, compiled)
    assert config.anonymous == Anonymous(True, frozenset({"/livez"}))
    assert config.issuers == (
        JwtConfig(
            "https://i.example",
            ("a", "b"),
            ClaimMapping("email", "o:"),
            "https://d.example/x",
            groups=ClaimMapping("roles", "g:"),
            uid=ClaimMapping("oid"),
            extra=(("acme.com/x", Text("claims.x")),),
            claim_rules=(Rule("hd", "acme.com"), Rule(expression=Text("claims:v"), message="m")),
            user_rules=(Rule(expression=Text("user:v"), message="w"),),
        ),
    )


FAULTS: dict[str, tuple[str, str]] = {
    "no url": (document(entry(issuer_=issuer(url=""))), "jwt[0].issuer.url: Required value"),
    "http": (
        document(entry(issuer_=issuer(url="http://i"))),
        'jwt[0].issuer.url: Invalid value: "http://i": URL scheme must be https',
    ),
    "user": (
        document(entry(issuer_=issuer(url="https://u:p@i"))),
        'jwt[0].issuer.url: Invalid value: "https://u:p@i": URL must not contain a username or password',
    ),
    "query": (
        document(entry(issuer_=issuer(url="https://i?a=b"))),
        'jwt[0].issuer.url: Invalid value: "https://i?a=b": URL must not contain a query',
    ),
    "fragment": (
        document(entry(issuer_=issuer(url="https://i#f"))),
        'jwt[0].issuer.url: Invalid value: "https://i#f": URL must not contain a fragment',
    ),
    "our own": (
        document(entry(issuer_=issuer(url="https://own"))),
        'jwt[0].issuer.url: Invalid value: "https://own": URL must not overlap with disallowed issuers: [https://own]',
    ),
    "same discovery": (
        document(entry(issuer_=issuer(discoveryURL="https://i.example/"))),
        'jwt[0].issuer.discoveryURL: Invalid value: "https://i.example/": discoveryURL must be different from URL',
    ),
    "no audience": (
        document(entry(issuer_=issuer(audiences=[]))),
        "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
    ),
    "several audiences": (
        document(entry(issuer_=issuer(audiences=["a", "b"]))),
        'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences',
    ),
    "an authority that is none": (
        document(entry(issuer_=issuer(certificateAuthority="x"))),
        'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain any valid RSA or ECDSA certificates',
    ),
    "no port": (
        document(entry(issuer_=issuer(url="https://i:x"))),
        'jwt[0].issuer.url: Invalid value: "https://i:x": parse "https://i:x": invalid port ":x" after host',
    ),
    "another way out": (
        document(entry(issuer_=issuer(egressSelectorType="x"))),
        'jwt[0].issuer.egressSelectorType: Invalid value: "x": egress selector must be either controlplane or cluster',
    ),
    "faults in the order of issuers": (
        document(
            entry(issuer_=issuer(url="")), entry(issuer_=issuer(url="")), entry(claimValidationRules=[{}])
        ),
        "[jwt[0].issuer.url: Required value, jwt[1].issuer.url: Required value, "
        'jwt[1].issuer.url: Duplicate value: "", '
        "jwt[2].claimValidationRules[0]: Required value: claim or expression is required]",
    ),
    "twice": (document(entry(), entry()), 'jwt[1].issuer.url: Duplicate value: "https://i.example"'),
    "no username": (
        document(entry({"groups": {"claim": "g", "prefix": ""}})),
        "jwt[0].claimMappings.username: Required value: claim or expression is required",
    ),
    "no prefix": (
        document(entry({"username": {"claim": "sub"}})),
        "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing",
    ),
    "both": (
        document(entry({"username": {"claim": "sub", "expression": "x"}})),
        'jwt[0].claimMappings.username: Invalid value: "": claim and expression can\'t both be set',
    ),
    "prefix of an expression": (
        document(entry({"username": {"expression": "x", "prefix": "p"}})),
        'jwt[0].claimMappings.username.prefix: Invalid value: "p": may not be specified when expression is set',
    ),
    "prefix of an expression of the email": (
        document(entry({"username": {"expression": "claims.email", "prefix": ""}})),
        'jwt[0].claimMappings.username.prefix: Invalid value: "": may not be specified when expression is set',
    ),
    "an address and a port": (
        document(entry(issuer_=issuer(url="127.0.0.1:443"))),
        'jwt[0].issuer.url: Invalid value: "127.0.0.1:443": parse "127.0.0.1:443": first path segment in URL cannot contain colon',
    ),
    "bad expression": (
        document(entry({"username": {"expression": "bad"}})),
        'jwt[0].claimMappings.username.expression: Invalid value: "bad": compilation failed',
    ),
    "email without a check": (
        document(entry({"username": {"expression": "claims.email"}})),
        'jwt[0].claimMappings.username.expression: Invalid value: "claims.email": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
    ),
    "extra without a domain": (
        document(entry({**SUB, "extra": [{"key": "x", "valueExpression": "v"}]})),
        'jwt[0].claimMappings.extra[0].key: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    "extra of kubernetes": (
        document(entry({**SUB, "extra": [{"key": "a.k8s.io/x", "valueExpression": "v"}]})),
        'jwt[0].claimMappings.extra[0].key: Invalid value: "a.k8s.io/x": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use',
    ),
    "extra in capitals": (
        document(entry({**SUB, "extra": [{"key": "a.b/X", "valueExpression": "v"}]})),
        'jwt[0].claimMappings.extra[0].key: Invalid value: "a.b/X": must be lowercase',
    ),
    "extra of a domain in capitals": (
        document(entry({**SUB, "extra": [{"key": "A.b/x", "valueExpression": "v"}]})),
        """[jwt[0].claimMappings.extra[0].key: Invalid value: "A.b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), jwt[0].claimMappings.extra[0].key: Invalid value: "A.b/x": must be lowercase]""",
    ),
    "an empty rule": (
        document(entry(claimValidationRules=[{}])),
        "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
    ),
    "a message for a claim": (
        document(entry(claimValidationRules=[{"claim": "a", "message": "m"}])),
        'jwt[0].claimValidationRules[0].message: Invalid value: "m": may not be specified when claim is set',
    ),
    "a rule twice": (
        document(entry(claimValidationRules=[{"claim": "a"}, {"claim": "a"}])),
        'jwt[0].claimValidationRules[1].claim: Duplicate value: "a"',
    ),
    "a user rule without expression": (
        document(entry(userValidationRules=[{}])),
        "jwt[0].userValidationRules[0].expression: Required value",
    ),
    "anonymous": (
        document(anonymous={"enabled": False, "conditions": [{"path": "/x"}]}),
        'anonymous.conditions: Invalid value: [{"Path":"/x"}]: enabled should be set to true when conditions are defined',
    ),
    "two ways to a uid": (
        document(entry({**SUB, "uid": {"claim": "a", "expression": "bad"}})),
        'jwt[0].claimMappings.uid: Invalid value: "": claim and expression can\'t both be set',
    ),
    "discovery of nobody": (
        document(entry(issuer_=issuer(url="", discoveryURL="/"))),
        '[jwt[0].issuer.url: Required value, jwt[0].issuer.discoveryURL: Invalid value: "/": URL scheme must be https]',
    ),
    "audiences that are none": (
        document(entry(issuer_=issuer(audiences=["", "a", "a"], audienceMatchPolicy="MatchAny"))),
        '[jwt[0].issuer.audiences[0]: Required value, jwt[0].issuer.audiences[2]: Duplicate value: "a"]',
    ),
    "another policy of one audience": (
        document(entry(issuer_=issuer(audienceMatchPolicy="MatchAll"))),
        'jwt[0].issuer.audienceMatchPolicy: Invalid value: "MatchAll": audienceMatchPolicy must be empty or MatchAny for single audience',
    ),
    "discovery twice": (
        document(
            entry(issuer_=issuer(discoveryURL="https://d.example")),
            entry(issuer_=issuer(url="https://j.example", discoveryURL="https://d.example")),
        ),
        'jwt[1].issuer.discoveryURL: Duplicate value: "https://d.example"',
    ),
    "an extra twice": (
        document(
            entry(
                {
                    **SUB,
                    "extra": [
                        {"key": "a.com/x", "valueExpression": "v"},
                        {"key": "a.com/x", "valueExpression": "bad"},
                    ],
                }
            )
        ),
        'jwt[0].claimMappings.extra[1].key: Duplicate value: "a.com/x"',
    ),
    "an extra of nothing": (
        document(entry({**SUB, "extra": [{"key": "a.com/x"}]})),
        "jwt[0].claimMappings.extra[0].valueExpression: Required value",
    ),
    "a value for an expression": (
        document(entry(claimValidationRules=[{"expression": "v", "requiredValue": "x"}])),
        'jwt[0].claimValidationRules[0].requiredValue: Invalid value: "x": may not be specified when expression is set',
    ),
    "a user rule twice": (
        document(entry(userValidationRules=[{"expression": "v"}, {"expression": "v"}])),
        'jwt[0].userValidationRules[1].expression: Duplicate value: "v"',
    ),
    "too many": (document(*[entry()] * 65), "jwt: Too many: 65: must have at most 64 items"),
}


@pytest.mark.parametrize(("text", "want"), FAULTS.values(), ids=FAULTS)
def test_faults(text: str, want: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text, compiled, ["https://own"])
    assert str(caught.value) == f"invalid authentication configuration: {want}"


def test_the_way_to_an_issuer_is_behind_a_gate() -> None:
    gate = "StructuredAuthenticationConfigurationEgressSelector"
    text = document(entry(issuer_=issuer(egressSelectorType="cluster")))
    assert parse(text, compiled).issuers[0].egress == "cluster"
    with pytest.raises(BadConfiguration) as caught:
        parse(text, compiled, gates=resolve({gate: False}))
    assert str(caught.value) == (
        'invalid authentication configuration: jwt[0].issuer.egressSelectorType: Invalid value: "cluster": '
        f"egress selector is not supported when {gate} feature gate is disabled"
    )


@pytest.mark.parametrize(
    ("minor", "gates"), [(33, {}), (34, {}), (33, {"AnonymousAuthConfigurableEndpoints": False})]
)
def test_nobody_in_a_file_was_behind_a_gate(minor: int, gates: dict[str, bool]) -> None:
    """That can be turned off no more since v1.34."""
    version = (1, minor)
    resolved = resolve(gates, Effective(version, version))
    text = document(anonymous={"enabled": False})
    if not gates:
        assert parse(text, compiled, gates=resolved).anonymous == Anonymous(False)
        return
    with pytest.raises(BadConfiguration) as caught:
        parse(text, compiled, gates=resolved)
    assert str(caught.value) == (
        "invalid authentication configuration: anonymous: Forbidden: anonymous is not supported when "
        "AnonymousAuthConfigurableEndpoints feature gate is disabled"
    )


def test_all_faults_at_once() -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(document(entry({"username": {}}, issuer(url="", audiences=[]))), compiled)
    assert str(caught.value).count("Required value") == 3


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "empty config data"),
        ("kind: Pod\napiVersion: v1", 'no kind "Pod" is registered for version "v1"'),
        (document(entry(issuer_="x")), "a field of the AuthenticationConfiguration has the wrong type"),
        (
            document({**entry(), "claimValidationRule": []}),
            'strict decoding error: unknown field "jwt[0].claimValidationRule"',
        ),
    ],
)
def test_what_cannot_be_read(text: str, want: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text, compiled, file="f.yaml")
    assert str(caught.value) == f'failed to load authentication configuration from file "f.yaml": {want}'


EMAIL = {
    "claims.email": True, "claims.?email.orValue('')": True, "claims.email_": False, "claims.sub": False,
    "['yay', string(claims.email), 'panda'].join(' ')": True, "{claims.email: 'panda'}.size() > 0 ? 'a' : 'b'": True,
    "{'fancy': claims.?email}": True, "['a'].map(i, i + claims.email)": True, "has(claims.email) ? 'a' : 'b'": True,
    "claims.email.trim()": True, "claims.other.claims.email": False, "'claims.email'": False,
    "claims.?email_verified.orValue(true) ? claims.email : claims.sub": False,
}  # fmt: skip
"""Expressions of a name, and whether they need that an email is verified."""


@pytest.mark.parametrize(("text", "refused"), EMAIL.items(), ids=EMAIL)
def test_names_from_emails(text: str, refused: bool) -> None:
    written = document(entry({"username": {"expression": text}}))
    if not refused:
        assert parse(written, compile_expression).issuers
        return
    with pytest.raises(BadConfiguration, match=r"claims\.email_verified must be used"):
        parse(written, compile_expression)


def test_an_email_that_is_checked_elsewhere() -> None:
    rules = [{"expression": "claims.email_verified == true"}]
    config = parse(
        document(entry({"username": {"expression": "claims.email"}}, claimValidationRules=rules)), compiled
    )
    assert len(config.issuers) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"expression": "claims.x +"}, "compilation failed: ERROR: <input>"),
        ({"expression": "'a'"}, "must evaluate to bool"),
        ({"expression": "user.username == 'a'"}, "undeclared reference to 'user'"),
    ],
)
def test_texts_that_are_no_rules(rule: dict[str, str], text: str) -> None:
    with pytest.raises(BadConfiguration, match=text):
        parse(document(entry(claimValidationRules=[rule])), compile_expression)


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ({}, None),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c"},
         JwtConfig("https://i", ("c",), ClaimMapping("sub", "https://i#"), algorithms=("RS256",))),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c", "oidc_username_claim": "email"},
         JwtConfig("https://i", ("c",), ClaimMapping("email"), algorithms=("RS256",))),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c", "oidc_username_prefix": "-",
          "oidc_groups_claim": "g", "oidc_groups_prefix": "x:", "oidc_required_claim": ("a = b=c ", "d="), "oidc_signing_algs": ("ES256",)},
         JwtConfig("https://i", ("c",), ClaimMapping("sub"), groups=ClaimMapping("g", "x:"), claim_rules=(Rule("a", "b=c"), Rule("d")), algorithms=("ES256",))),
    ],
    ids=["none", "default prefix", "email has none", "everything"],
)  # fmt: skip
def test_flags(flags: dict[str, Any], want: JwtConfig | None) -> None:
    assert from_flags(flags) == want


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"oidc_issuer_url": "https://i"}, "oidc-issuer-url and oidc-client-id must be specified together when any"),
        ({"oidc_issuer_url": "http://i", "oidc_client_id": "c"},
         r'^invalid authentication configuration: jwt\[0\]\.issuer\.url: Invalid value: "http://i": URL scheme must be https$'),
        ({"oidc_issuer_url": "https://own", "oidc_client_id": "c"}, "URL must not overlap with disallowed issuers"),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c", "oidc_ca": "x"}, "data does not contain any valid"),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c", "oidc_signing_algs": ("HS256",)},
         'oidc: unsupported signing alg: "HS256"'),
        ({"oidc_issuer_url": "https://i", "oidc_client_id": "c", "oidc_required_claim": ("a",)},
         '^invalid argument "a" for "--oidc-required-claim" flag: malformed pair, expect string=string$'),
    ],
)  # fmt: skip
def test_bad_flags(flags: dict[str, Any], text: str) -> None:
    with pytest.raises(BadConfiguration, match=text):
        from_flags(flags, ("https://own",))


ENABLED, DISABLED = {"enabled": True}, {"enabled": False}
LIVEZ = {"enabled": True, "conditions": [{"path": "/livez"}]}


@pytest.mark.parametrize(
    ("file", "flag", "want"),
    [
        (None, None, Anonymous()),
        (None, True, Anonymous()),
        (None, False, Anonymous(enabled=False)),
        (DISABLED, None, Anonymous(enabled=False)),
        (ENABLED, None, Anonymous()),
        (LIVEZ, None, Anonymous(paths=frozenset({"/livez"}))),
        (ENABLED, True, None),
        (ENABLED, False, None),
        (DISABLED, False, None),
    ],
)
def test_where_nobody_may_come_is_said_once(
    file: dict[str, Any] | None, flag: bool | None, want: Anonymous | None
) -> None:
    config = parse(document(**({} if file is None else {"anonymous": file})), compiled)
    if want is not None:
        assert who_is_nobody(config, flag) == want
        return
    with pytest.raises(BadConfiguration) as caught:
        who_is_nobody(config, flag)
    assert str(caught.value) == (
        "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"
    )
