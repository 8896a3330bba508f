"""Groups that lie elsewhere: who is asked for them with what, and what becomes of each fault."""
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.apiserver.authn.test_jwt_tokens import KEY, NOW, OTHER, SECOND, Keys, document, token

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.authn.distributed_claims import NotExpanded, endpoint_of
from tiphys.apiserver.authn.jwt_config import ClaimMapping, JwtConfig
from tiphys.apiserver.authn.jwt_tokens import JwtTokens
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.authn.user import User
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


class Elsewhere:
    """An issuer of its own, which has the groups and signs them with its own key."""

    def __init__(self) -> None:
        self.url = ""
        self.ca = ""
        self.answer = Response(200, {}, b"")
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append((request.path, request.headers.get("authorization", "")))
        if request.path.endswith("openid-configuration"):
            return self._json({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/keys":
            return self._json({"keys": [document(OTHER)]})
        return self.answer

    def _json(self, body: Any) -> Response:
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    def tells(self, signer: Any = OTHER, **claims: Any) -> None:
        """Answer with a token of these claims."""
        text = token(signer, **{"iss": self.url, "sub": None, **claims})
        self.answer = Response(200, {"content-type": "application/jwt"}, text.encode())

    async def groups(self, **claims: Any) -> tuple[str, ...]:
        """Return the groups of a user whose token has these claims."""
        config = JwtConfig(
            "https://i",
            ("app",),
            ClaimMapping("sub"),
            certificate_authority=self.ca,
            groups=ClaimMapping("groups", "g:"),
        )
        keys: Any = Keys(KEY)
        found = await JwtTokens(config, FakeClock(NOW), keys).authenticate_token(token(**claims), ())
        assert found is not None
        return found.user.groups

    def source(self, access_token: str = "") -> dict[str, Any]:
        """Return the claims that say that groups lie here."""
        found = {"endpoint": f"{self.url}/groups?of=jane"}
        if access_token:
            found["access_token"] = access_token
        return {"_claim_names": {"groups": "src"}, "_claim_sources": {"src": found}}


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    now = RealClock().now()
    ca = pki.make_ca("elsewhere-ca", now)
    pair = pki.issue_server(ca, "elsewhere", ["127.0.0.1"], now)
    found = Elsewhere()
    async with serve(found, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        found.url, found.ca = f"https://127.0.0.1:{server.port}", ca.certificate.decode()
        yield found


@pytest.mark.parametrize(("access_token", "sent"), [("groups_token", "Bearer groups_token"), ("", "")])
async def test_groups_from_elsewhere(elsewhere: Elsewhere, access_token: str, sent: str) -> None:
    elsewhere.tells(groups=["team1", "team2"])
    assert await elsewhere.groups(**elsewhere.source(access_token)) == ("g:team1", "g:team2")
    assert elsewhere.asked == [("/groups", sent), ("/.well-known/openid-configuration", ""), ("/keys", "")]


async def test_one_group_is_a_list_too(elsewhere: Elsewhere) -> None:
    elsewhere.tells(groups="team1")
    assert await elsewhere.groups(**elsewhere.source()) == ("g:team1",)


async def test_what_the_token_has_goes_first(elsewhere: Elsewhere) -> None:
    assert await elsewhere.groups(groups=["own"], **elsewhere.source()) == ("g:own",)
    assert not elsewhere.asked


async def test_who_wants_no_groups_asks_nobody(elsewhere: Elsewhere) -> None:
    keys: Any = Keys(KEY)
    config = JwtConfig("https://i", ("app",), ClaimMapping("sub"))
    found = await JwtTokens(config, FakeClock(NOW), keys).authenticate_token(token(**elsewhere.source()), ())
    assert found is not None
    assert found.user == User("jane")
    assert not elsewhere.asked


TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "another audience": (
        {"groups": ["a"], "aud": "x"}, 'verify distributed claim token: oidc: expected audience "app" got ["x"]'
    ),
    "over": (
        {"groups": ["a"], "exp": SECOND - 1},
        "verify distributed claim token: oidc: token is expired (Token Expiry: 2025-12-31 23:59:59 +0000 UTC)",
    ),
    "another key": (
        {"groups": ["a"], "signer": KEY},
        "verify distributed claim token: failed to verify signature: failed to verify id token signature",
    ),
    "an issuer that cannot be asked": (
        {"groups": ["a"], "iss": "https://127.0.0.1:1"},
        'verifying untrusted issuer https://127.0.0.1:1 failed: verifier not initialized for issuer: "https://127.0.0.1:1"',
    ),
    "another claim": ({"teams": ["a"]}, 'jwt returned by distributed claim endpoint "URL/groups?of=jane" did not contain claim: groups'),
}  # fmt: skip


@pytest.mark.parametrize(("claims", "fault"), TOKENS.values(), ids=TOKENS)
async def test_tokens_that_are_not_taken(elsewhere: Elsewhere, claims: dict[str, Any], fault: str) -> None:
    elsewhere.tells(**claims)
    with pytest.raises(Refused) as caught:
        await elsewhere.groups(**elsewhere.source())
    wanted = fault.replace("URL", elsewhere.url)
    assert str(caught.value) == f"oidc: could not expand distributed claims: {wanted}"


ANSWERS: dict[str, tuple[int, bytes, str]] = {
    "not found": (404, b"", 'while getting distributed claim "groups": error while getting distributed claim JWT: 404 Not Found'),
    "a strange status": (599, b"", 'while getting distributed claim "groups": error while getting distributed claim JWT: 599'),
    "the groups themselves": (200, b'{"groups": []}', 'getting untrusted issuer from endpoint URL/groups?of=jane failed for claim "groups": token is not compact JWT'),
    "no token": (200, b"groups", 'getting untrusted issuer from endpoint URL/groups?of=jane failed for claim "groups": malformed token'),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body", "fault"), ANSWERS.values(), ids=ANSWERS)
async def test_answers_that_are_none(elsewhere: Elsewhere, status: int, body: bytes, fault: str) -> None:
    elsewhere.answer = Response(status, {}, body)
    with pytest.raises(Refused) as caught:
        await elsewhere.groups(**elsewhere.source())
    wanted = fault.replace("URL", elsewhere.url)
    assert str(caught.value) == f"oidc: could not expand distributed claims: {wanted}"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/x", "http://127.0.0.1:1/x", "nonsense"])
async def test_addresses_that_do_not_answer(elsewhere: Elsewhere, url: str) -> None:
    claims = elsewhere.source()
    claims["_claim_sources"]["src"]["endpoint"] = url
    with pytest.raises(Refused, match=f'while getting distributed claim "groups": Get "{url}": '):
        await elsewhere.groups(**claims)


SOURCE = {"endpoint": "https://e/x", "access_token": "t"}
MALFORMED: dict[str, tuple[Any, Any, str]] = {
    "names that are none": (
        42, {}, "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go struct field idToken._claim_names of type map[string]string"
    ),
    "a name that is no string": (
        {"groups": 42}, {"src": SOURCE},
        "oidc: failed to unmarshal claims: json: cannot unmarshal number into Go struct field idToken._claim_names of type string",
    ),
    "an empty name": ({"groups": ""}, {"src": SOURCE}, "oidc: failed to obtain source from claim name"),
    "no such source": ({"groups": "other"}, {"src": SOURCE}, "oidc: source does not exist"),
    "no sources": ({"groups": "src"}, None, "oidc: source does not exist"),
    "another claim's source": ({"address": "other"}, {"src": SOURCE}, "oidc: source does not exist"),
    "a source that is none": (
        {"groups": "src"}, {"src": "x"},
        "oidc: failed to unmarshal claims: json: cannot unmarshal string into Go struct field idToken._claim_sources of type oidc.claimSource",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("names", "sources", "fault"), MALFORMED.values(), ids=MALFORMED)
async def test_malformed_tokens(elsewhere: Elsewhere, names: Any, sources: Any, fault: str) -> None:
    with pytest.raises(Refused) as caught:
        await elsewhere.groups(_claim_names=names, _claim_sources=sources)
    assert str(caught.value) == f"oidc: verify token: {fault}"


ENDPOINTS: dict[str, tuple[dict[str, Any], tuple[str, str] | None]] = {
    "named": ({"_claim_names": {"groups": "s"}, "_claim_sources": {"s": SOURCE}}, ("https://e/x", "t")),
    "there already": ({"groups": [], "_claim_names": {"groups": "s"}, "_claim_sources": {"s": SOURCE}}, None),
    "others lie elsewhere": ({"_claim_names": {"address": "s"}, "_claim_sources": {"s": SOURCE}}, None),
    "aggregated": ({"_claim_names": {"groups": "s"}, "_claim_sources": {"s": {"JWT": "x"}}}, None),
    "nothing said": ({}, None),
}


@pytest.mark.parametrize(("claims", "endpoint"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_endpoints(claims: dict[str, Any], endpoint: tuple[str, str] | None) -> None:
    assert endpoint_of(claims, "groups") == endpoint


@pytest.mark.parametrize("source", [{"endpoint": 7}, {"endpoint": "https://e", "access_token": []}])
def test_endpoints_that_are_none(source: dict[str, Any]) -> None:
    claims = {"_claim_names": {"groups": "s"}, "_claim_sources": {"s": source}}
    with pytest.raises(NotExpanded, match="oidc: could not parse claim sources"):
        endpoint_of(claims, "groups")


async def test_an_issuer_may_lie_elsewhere_itself(elsewhere: Elsewhere) -> None:
    """The issuer of the groups may be the token's own, whose document is at another address."""
    elsewhere.url, place = "https://i", elsewhere.url
    elsewhere.tells(groups=["a"])
    keys: Any = Keys(KEY)
    config = JwtConfig(
        "https://i", ("app",), ClaimMapping("sub"), certificate_authority=elsewhere.ca, groups=ClaimMapping("groups"),
        discovery_url=f"{place}/own/openid-configuration",
    )  # fmt: skip
    claims = elsewhere.source()
    claims["_claim_sources"]["src"]["endpoint"] = f"{place}/groups"
    tokens = JwtTokens(config, FakeClock(NOW), keys)
    with pytest.raises(Refused, match="fetching keys oidc: get keys failed"):
        await tokens.authenticate_token(token(**claims), ())  # its keys' address is not served
    assert ("/own/openid-configuration", "") in elsewhere.asked
