"""OpenID Connect tokens: verified with the issuer's keys, and what their claims make of the user."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.authn.expressions import ExpressionError
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable
from tiphys.apiserver.authn.jwks import IssuerKeys
from tiphys.apiserver.authn.jwt_config import ClaimMapping, JwtConfig, Rule
from tiphys.apiserver.authn.jwt_tokens import JwtTokens, map_claims
from tiphys.apiserver.authn.jwt_verifier import issuer_of
from tiphys.apiserver.authn.tokens import Refused
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

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
        self._gone = gone

    async def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        if self._gone:
            raise IssuerUnavailable("authenticator not initialized")
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


def test_the_two_names_of_one_issuer() -> None:
    assert issuer_of(token(iss="accounts.google.com")) == "https://accounts.google.com"


class Provider:
    """An issuer on loopback: discovery and keys over HTTPS."""

    def __init__(self) -> None:
        self.url = ""
        self.claimed = ""
        self.keys = [document(KEY)]
        self.asked: list[str] = []
        self.status = 200
        """Of the answer with the keys."""
        self.document: Response | None = None
        """What is answered instead of where the keys lie."""
        self.served: Response | None = None
        """What is answered instead of the keys."""

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request.path)
        if request.path.startswith("/.well-known") and self.document is not None:
            return self.document
        if request.path == "/keys" and self.served is not None:
            return self.served
        if not request.path.endswith("openid-configuration") and self.status != 200:
            return Response(self.status, {}, b"away")
        if request.path.endswith("openid-configuration"):
            body: Any = {"issuer": self.claimed or self.url, "jwks_uri": f"{self.url}/keys"}
        else:
            body = {"keys": self.keys}
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    now = RealClock().now()
    ca = pki.make_ca("issuer-ca", now)
    pair = pki.issue_server(ca, "issuer", ["127.0.0.1"], now)
    found = Provider()
    async with serve(found, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        found.url = f"https://127.0.0.1:{server.port}"
        yield found, ca.certificate.decode()


async def test_keys_are_found_by_discovery(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    clock = FakeClock(NOW)
    keys = IssuerKeys(server.url, clock, certificate_authority=ca)
    assert await keys.candidates("k") == []
    assert [key.key_id for key in await keys.newer("k")] == ["k"]
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]
    assert len(await keys.candidates("k")) == 1
    assert await keys.newer("unknown") == []
    assert len(server.asked) == 2, "an issuer is not asked at every token"
    server.keys.append(document(OTHER, "next"))
    clock.advance(1)
    assert [key.key_id for key in await keys.newer("next")] == ["next"]
    assert server.asked[2:] == ["/keys"], "where keys lie does not change"


async def test_all_who_wait_for_keys_share_one_answer(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    found = await asyncio.gather(*(keys.candidates("k") for _ in range(3)))
    assert found == [[], [], []]
    found = await asyncio.gather(*(keys.newer("k") for _ in range(3)))
    assert [len(one) for one in found] == [1, 1, 1]
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_key_that_changes_under_its_id(provider: tuple[Provider, str]) -> None:
    """What no known key has signed is looked at once more with those that hold now."""
    server, ca = provider
    clock = FakeClock(NOW)
    config = replace(BASE, url=server.url, certificate_authority=ca)
    issuer = JwtTokens(config, clock)
    assert await issuer.authenticate_token(token(iss=server.url), ()) is not None
    server.keys = [document(OTHER)]
    clock.advance(1)
    assert await issuer.authenticate_token(token(OTHER, iss=server.url), ()) is not None
    clock.advance(10)
    with pytest.raises(Refused, match="failed to verify id token signature"):
        await issuer.authenticate_token(token(iss=server.url), ())


async def test_keys_that_cannot_be_had_now(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.status = 503
    issuer = JwtTokens(replace(BASE, url=server.url, certificate_authority=ca), FakeClock(NOW))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await issuer.authenticate_token(token(iss=server.url), ())
        assert str(caught.value) == (
            "oidc: verify token: failed to verify signature: fetching keys oidc: get keys failed: "
            "503 Service Unavailable away"
        )
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


DISCOVERIES: dict[str, tuple[Response, str]] = {
    "not there": (Response(404, {}, b"what"), "404 Not Found: what"),
    "no JSON": (
        Response(200, {"content-type": "text/html"}, b"<p>"),
        'oidc: failed to decode provider discovery object: expected Content-Type = application/json, got "text/html": '
        "invalid character '<' looking for beginning of value",
    ),
    "of another": (
        Response(200, {}, b'{"issuer":"https://x"}'),
        'oidc: issuer did not match the issuer returned by provider, expected "URL" got "https://x"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "why"), DISCOVERIES.values(), ids=DISCOVERIES)
async def test_documents_of_no_use(provider: tuple[Provider, str], answer: Response, why: str) -> None:
    server, ca = provider
    server.document = answer
    with pytest.raises(IssuerUnavailable) as caught:
        await IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca).ready()
    assert str(caught.value) == why.replace("URL", server.url)


async def test_an_issuer_that_has_moved(provider: tuple[Provider, str]) -> None:
    """Go's client goes on where an answer leads; keys and their document are found there."""
    server, ca = provider
    server.document = Response(302, {"location": "/moved/openid-configuration"}, b"")
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    await keys.ready()
    assert [key.key_id for key in await keys.newer("k")] == ["k"]
    assert server.asked == ["/.well-known/openid-configuration", "/moved/openid-configuration", "/keys"]


async def test_keys_that_are_no_json(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.served = Response(200, {"content-type": "application/json"}, b"[")
    issuer = JwtTokens(replace(BASE, url=server.url, certificate_authority=ca), FakeClock(NOW))
    with pytest.raises(Refused) as caught:
        await issuer.authenticate_token(token(iss=server.url), ())
    assert str(caught.value) == (
        "oidc: verify token: failed to verify signature: fetching keys oidc: failed to decode keys: "
        "got Content-Type = application/json, but could not unmarshal as JSON: unexpected end of JSON input ["
    )


async def test_keys_that_sign_nothing_for_others(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {**document(KEY), "use": "enc"},
        {"kty": "RSA"},
    ]
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    assert await keys.candidates("") == []
    assert await keys.newer("") == []


@pytest.mark.parametrize("fault", ["another issuer", "untrusted", "another address"])
async def test_an_issuer_that_is_not_believed(provider: tuple[Provider, str], fault: str) -> None:
    server, ca = provider
    server.claimed = "https://other" if fault == "another issuer" else ""
    authority = "" if fault == "untrusted" else ca
    url = "https://127.0.0.1:1" if fault == "another address" else server.url
    keys = IssuerKeys(url, FakeClock(NOW), certificate_authority=authority)
    for _ in range(2):
        with pytest.raises(IssuerUnavailable, match="authenticator not initialized"):
            await keys.candidates("k")


async def test_a_discovery_document_elsewhere(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.claimed = "https://issuer.example"
    discovery = f"{server.url}/other/openid-configuration"
    keys = IssuerKeys(server.claimed, FakeClock(NOW), discovery_url=discovery, certificate_authority=ca)
    await keys.ready()
    assert len(await keys.newer("k")) == 1


async def test_through_the_server(provider: tuple[Provider, str], serving: Any, tmp_path: Path) -> None:
    server, ca = provider
    path = tmp_path / "config.yaml"

    def write(prefix: str) -> None:
        issuer = {"url": server.url, "audiences": ["app"], "certificateAuthority": ca}
        mappings = {"username": {"claim": "sub", "prefix": prefix}}
        config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
                  "jwt": [{"issuer": issuer, "claimMappings": mappings}],
                  "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]}}  # fmt: skip
        path.write_text(yaml.safe_dump(config))

    write("a:")
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    async with serving(authentication_config=path) as api:
        exp = int(api.clock.now().timestamp()) + 60
        text = token(iss=server.url, exp=exp)
        review = await api.create(whoami, {}, user=text)
        assert review["status"]["userInfo"] == {"username": "a:jane", "groups": ["system:authenticated"]}
        review = await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": text}})
        assert review["status"]["audiences"] == list(api.server.backend.authenticator.api_audiences)
        assert (await api("GET", "/livez", user="")).status == 200
        assert (await api("GET", "/healthz", user="")).status == 401
        write("b:")
        await api.server.backend.authenticator.reload()
        review = await api.create(whoami, {}, user=text)
        assert review["status"]["userInfo"]["username"] == "b:jane"
        path.write_text("kind: Nonsense")
        await api.server.backend.authenticator.reload()
        assert (await api("POST", whoami, {}, user=text)).status == 201


async def test_a_new_issuer_holds_once_it_has_told_its_keys(
    provider: tuple[Provider, str], serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, ca = provider
    path = tmp_path / "config.yaml"

    def write(*urls: str) -> None:
        issuers = [
            {"issuer": {"url": url, "audiences": ["app"], "certificateAuthority": ca},
             "claimMappings": {"username": {"claim": "sub", "prefix": ""}}}
            for url in urls
        ]  # fmt: skip
        config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
        path.write_text(yaml.safe_dump({**config, "jwt": issuers}))

    async def status(api: Any) -> int:
        text = token(iss=server.url, exp=int(api.clock.now().timestamp()) + 60)
        return int((await api("GET", "/api", user=text)).status)

    write(server.url)
    async with serving(authentication_config=path) as api:
        authenticator = api.server.backend.authenticator
        assert await status(api) == 200
        write("https://127.0.0.1:1")
        await authenticator.reload()
        assert await status(api) == 200, "the issuer that is not there replaces nobody"
        assert "127.0.0.1:1" in caplog.text
        write()
        await authenticator.reload()
        assert await status(api) == 401
        server.claimed = "https://other"
        write(server.url)
        await authenticator.reload()
        assert await status(api) == 401
        server.claimed = ""
        await authenticator.reload()
        assert await status(api) == 200, "it is asked again until it answers"
