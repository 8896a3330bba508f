"""OpenID Connect tokens: verified with the issuer's keys, and what their claims make of the user."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.authn.expressions import ExpressionError
from tiphys.apiserver.authn.jwt_config import ClaimMapping, JwtConfig, Rule
from tiphys.apiserver.authn.jwt_tokens import JwtTokens, map_claims
from tiphys.apiserver.authn.jwt_verifier import issuer_of
from tiphys.apiserver.authn.tokens import Refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = int(NOW.timestamp())
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BASE = JwtConfig("https://i", ("app",), ClaimMapping("sub", "oidc:"))


@dataclass(frozen=True)
class Fake:
    """An expression that is a function."""

    function: Callable[[Any], Any]
    text: str = "the text"

    def selects(self, field: str) -> bool:
        raise AssertionError

    def evaluate(self, value: Any) -> Any:
        try:
            return self.function(value)
        except KeyError as error:
            raise ExpressionError(f"no such key: {error.args[0]}") from error


def claim(name: str) -> ClaimMapping:
    return ClaimMapping(expression=Fake(lambda claims: claims[name]))


CLAIMS = {
    "sub": "jane",
    "email": "j@x",
    "groups": ["a", "b"],
    "role": "r",
    "n": 1,
    "hd": "acme",
    "e": "",
    "null": None,
}
USERS: dict[str, tuple[JwtConfig, dict[str, Any]]] = {
    "claim and prefix": (BASE, {"username": "oidc:jane"}),
    "groups": (replace(BASE, groups=ClaimMapping("groups", "g:")), {"username": "oidc:jane", "groups": ["g:a", "g:b"]}),
    "one group": (replace(BASE, groups=ClaimMapping("role")), {"username": "oidc:jane", "groups": ["r"]}),
    "no groups": (replace(BASE, groups=ClaimMapping("none")), {"username": "oidc:jane"}),
    "uid": (replace(BASE, uid=ClaimMapping("email")), {"username": "oidc:jane", "uid": "j@x"}),
    "an email without the mark": (replace(BASE, username=ClaimMapping("email")), {"username": "j@x"}),
    "expressions": (
        replace(BASE, username=claim("sub"), groups=claim("groups"), uid=claim("hd"),
                extra=(("a.b/x", Fake(lambda c: ["1", "", "2"])), ("a.b/y", Fake(lambda c: "")), ("a.b/z", Fake(lambda c: None)))),
        {"username": "jane", "uid": "acme", "groups": ["a", "b"], "extra": {"a.b/x": ["1", "2"]}},
    ),
    "groups and uid that are null": (replace(BASE, groups=ClaimMapping("null", "g:"), uid=ClaimMapping("null")), {"username": "oidc:jane"}),
    "a name that is null": (replace(BASE, username=ClaimMapping("null", "o:")), {"username": "o:"}),
    "an empty name by a claim": (replace(BASE, username=ClaimMapping("e")), {}),
    "rules that hold": (
        replace(BASE, claim_rules=(Rule("hd", "acme"), Rule(expression=Fake(lambda c: c["n"] == 1))),
                user_rules=(Rule(expression=Fake(lambda u: u["username"] == "oidc:jane")),)),
        {"username": "oidc:jane"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "want"), USERS.values(), ids=USERS)
def test_users(config: JwtConfig, want: dict[str, Any]) -> None:
    assert map_claims(config, CLAIMS).to_info() == want


@pytest.mark.parametrize(("jti", "shown"), [("7", ["JTI=7"]), ("", None), (7, None), (None, None)])
def test_what_a_token_is_called(jti: Any, shown: list[str] | None) -> None:
    extra = map_claims(BASE, {**CLAIMS, "jti": jti}).to_info().get("extra") or {}
    assert extra.get("authentication.kubernetes.io/credential-id") == shown


REFUSALS: dict[str, tuple[JwtConfig, dict[str, Any], str]] = {
    "no claim": (replace(BASE, username=ClaimMapping("x")), {}, 'oidc: parse username claims "x": claim not present'),
    "no string": (replace(BASE, username=ClaimMapping("n")), {},
                  'oidc: parse username claims "n": json: cannot unmarshal number into Go value of type string'),
    "email not verified": (replace(BASE, username=ClaimMapping("email")), {"email_verified": False}, "oidc: email not verified"),
    "email verified by nothing": (replace(BASE, username=ClaimMapping("email")), {"email_verified": None}, "oidc: email not verified"),
    "email verified by a word": (replace(BASE, username=ClaimMapping("email")), {"email_verified": "yes"}, "oidc: parse 'email_verified' claim: json: cannot unmarshal string into Go value of type bool"),
    "required, and null": (replace(BASE, claim_rules=(Rule("hd", "y"),)), {"hd": None}, "oidc: required claim hd value does not match. Got = , want = y"),
    "groups of numbers": (replace(BASE, groups=ClaimMapping("n")), {}, 'oidc: parse groups claim "n": json: cannot unmarshal number into Go value of type string'),
    "uid": (replace(BASE, uid=ClaimMapping("x")), {}, 'oidc: parse uid claim "x": claim not present'),
    "an expression that fails": (replace(BASE, username=claim("x")), {}, "oidc: error evaluating username claim expression: no such key: x"),
    "a name that is no string": (replace(BASE, username=claim("n")), {},
                                 "oidc: error evaluating username claim expression: username claim expression must return a string"),
    "an empty name": (replace(BASE, username=claim("none")), {"none": ""}, "oidc: empty username via CEL expression is not allowed"),
    "groups that are none": (replace(BASE, groups=claim("n")), {},
                             "oidc: error evaluating group claim expression: expression must return a string or a list of strings"),
    "required": (replace(BASE, claim_rules=(Rule("x", "y"),)), {}, "oidc: required claim x not present in ID token"),
    "required otherwise": (replace(BASE, claim_rules=(Rule("hd", "y"),)), {},
                           "oidc: required claim hd value does not match. Got = acme, want = y"),
    "a rule": (replace(BASE, claim_rules=(Rule(expression=Fake(lambda c: False), message="never"),)), {},
               "oidc: error evaluating claim validation expression: validation expression 'the text' failed: never"),
    "a rule that is no boolean": (replace(BASE, claim_rules=(Rule(expression=Fake(lambda c: 1)),)), {},
                                  "oidc: error evaluating claim validation expression: validation expression must return a boolean"),
    "an extra that fails, after one of numbers": (
        replace(BASE, extra=(("a.b/x", Fake(lambda c: [1])), ("a.b/y", Fake(lambda c: c["x"])))), {}, "no such key: x",
    ),
    "an extra of numbers": (
        replace(BASE, extra=(("a.b/x", Fake(lambda c: [1])),)), {},
        "oidc: error evaluating extra claim expression: the text: expression must return a string or a list of strings",
    ),
    "a rule that fails, after one that does not hold": (
        replace(BASE, claim_rules=(Rule(expression=Fake(lambda c: False)), Rule(expression=Fake(lambda c: c["x"])))), {},
        "oidc: error evaluating claim validation expression: no such key: x",
    ),
    "neither groups nor a uid": (
        replace(BASE, groups=ClaimMapping("n"), uid=ClaimMapping("x")), {},
        'oidc: parse groups claim "n": json: cannot unmarshal number into Go value of type string',
    ),
    "a user rule": (replace(BASE, user_rules=(Rule(expression=Fake(lambda u: u["username"] == "x"), message="no"),)), {},
                    "oidc: error evaluating user info validation rule: validation expression 'the text' failed: no"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "more", "text"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(config: JwtConfig, more: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as caught:
        map_claims(config, {**CLAIMS, **more})
    assert str(caught.value) == text


class Keys:
    """An issuer's keys that need not be fetched."""

    def __init__(self, *keys: rsa.RSAPrivateKey, gone: bool = False) -> None:
        self._keys = [jwt.PyJWK.from_dict(document(key)) for key in keys]
        self.found = not gone

    def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        return self._keys

    async def newer(self, key_id: str) -> list[jwt.PyJWK]:
        return self._keys


def document(key: rsa.RSAPrivateKey, key_id: str = "k") -> dict[str, Any]:
    found = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": key_id, "use": "sig", "alg": "RS256"}


def token(key: rsa.RSAPrivateKey = KEY, **changes: Any) -> str:
    claims = {"iss": "https://i", "aud": "app", "sub": "jane", "exp": SECOND + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwt.encode(claims, pem, algorithm="RS256", headers={"kid": "k"})


def forged(**changes: Any) -> str:
    """A token whose claims no library would write."""
    claims = {"iss": "https://i", "aud": "app", "sub": "jane", "exp": SECOND + 60, **changes}
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwt.PyJWS().encode(orjson.dumps(claims), pem, algorithm="RS256", headers={"kid": "k"})


def spelled(payload: str | bytes) -> str:
    """A token whose payload is written like this."""
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    sent = payload.encode() if isinstance(payload, str) else payload
    return jwt.PyJWS().encode(sent, pem, algorithm="RS256", headers={"kid": "k"})


def tokens(config: JwtConfig = BASE, **rest: Any) -> JwtTokens:
    keys: Any = Keys(KEY, **rest)
    return JwtTokens(config, FakeClock(NOW), keys)


@pytest.mark.parametrize(
    "text",
    [
        token(),
        token(aud=["x", "app"]),
        forged(jti=7),
        forged(exp=f"{SECOND + 60}"),
        forged(exp=SECOND + 60.5),
    ],
    ids=["plain", "several audiences", "a number for its name", "an end in quotes", "half a second"],
)
async def test_a_good_token(text: str) -> None:
    found = await tokens().authenticate_token(text, ("api",))
    assert found is not None
    assert found.user.name == "oidc:jane"


@pytest.mark.parametrize("text", ["x", "a.b.c", token(iss="https://other"), token(iss=None), "{}"])
async def test_tokens_of_others(text: str) -> None:
    assert await tokens().authenticate_token(text, ()) is None


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "another key": (token(OTHER), {}, "oidc: verify token: failed to verify signature: failed to verify id token signature"),
    "over": (token(exp=SECOND - 1), {}, "oidc: verify token: oidc: token is expired (Token Expiry: 2025-12-31 23:59:59 +0000 UTC)"),
    "over and of another key": (token(OTHER, exp=SECOND - 1), {}, "oidc: verify token: oidc: token is expired (Token Expiry: 2025-12-31 23:59:59 +0000 UTC)"),
    "not begun": (token(nbf=SECOND + 301), {}, "oidc: verify token: oidc: current time 2026-01-01 00:00:00 +0000 UTC before the nbf (not before) time: 2026-01-01 00:05:01 +0000 UTC"),
    "no end": (token(exp=None), {}, "oidc: verify token: oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
    "an end that is no time": (
        forged(exp="soon"), {}, 'oidc: verify token: oidc: failed to unmarshal claims: json: invalid number literal, trying to unmarshal "\\"soon\\"" into Number',
    ),
    "an end that is true": (
        forged(exp=True), {}, "oidc: verify token: oidc: failed to unmarshal claims: json: cannot unmarshal bool into Go value of type json.Number",
    ),
    "a number for an audience": (
        forged(aud=5), {}, "oidc: verify token: oidc: failed to unmarshal claims: json: cannot unmarshal number into Go value of type []string",
    ),
    "a number among audiences": (
        forged(aud=["app", 5]), {}, "oidc: verify token: oidc: failed to unmarshal claims: json: cannot unmarshal number into Go value of type string",
    ),
    "a number for a subject": (
        forged(sub=5), {}, "oidc: verify token: oidc: failed to unmarshal claims: json: cannot unmarshal number into Go struct field idToken.sub of type string",
    ),
    "for others and over": (token(aud="x", exp=SECOND - 1), {}, 'oidc: verify token: oidc: expected audience "app" got ["x"]'),
    "for others and over, where several may be named": (
        token(aud="x", exp=SECOND - 1), {"config": replace(BASE, audiences=("app", "b"))},
        "oidc: verify token: oidc: token is expired (Token Expiry: 2025-12-31 23:59:59 +0000 UTC)",
    ),
    "another of several audiences": (
        token(aud="x"), {"config": replace(BASE, audiences=("b", "app"))}, 'oidc: verify token: oidc: expected audience in ["app" "b"] got ["x"]',
    ),
    "another audience": (token(aud="x"), {}, 'oidc: verify token: oidc: expected audience "app" got ["x"]'),
    "another algorithm": (token(), {"config": replace(BASE, algorithms=("ES256",))},
                          'oidc: verify token: oidc: id token signed with unsupported algorithm, expected ["ES256"] got "RS256"'),
    "no keys yet": (token(), {"gone": True}, "oidc: authenticator not initialized"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "rest", "want"), WRONG.values(), ids=WRONG)
async def test_wrong_tokens(text: str, rest: dict[str, Any], want: str) -> None:
    with pytest.raises(Refused) as caught:
        await tokens(**rest).authenticate_token(text, ())
    assert str(caught.value) == want


SPELLED = '{"iss":"https://i","aud":"app","exp":EXP,"sub":"SUB"}'.replace("EXP", str(SECOND + 60))


@pytest.mark.parametrize(
    ("sub", "name"),
    [(b"a\\ud800b", "a\ufffdb"), (b"a\xffb", "a\ufffdb"), (b"\\ud83d\\ude00", "\U0001f600")],
    ids=["half a character", "a byte of none", "a pair"],
)
async def test_names_are_read_as_go_reads_them(sub: bytes, name: str) -> None:
    found = await tokens().authenticate_token(spelled(SPELLED.encode().replace(b"SUB", sub)), ())
    assert found is not None
    assert found.user.name == f"oidc:{name}"


async def test_an_end_that_is_no_number() -> None:
    text = spelled(SPELLED.replace(str(SECOND + 60), "NaN"))
    assert issuer_of(text) == ""
    assert await tokens().authenticate_token(text, ()) is None


@pytest.mark.parametrize("issuer", ["5", '["https://i"]', "null", "{}"])
def test_issuers_that_are_no_text(issuer: str) -> None:
    assert issuer_of(spelled(f'{{"iss":{issuer}}}')) == ""


def test_the_two_names_of_one_issuer() -> None:
    assert issuer_of(token(iss="accounts.google.com")) == "https://accounts.google.com"
