"""Keys of OpenID Connect issuers: found, shared by all who wait, fetched again; what is said of none."""
# ruff: noqa: E501

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.apiserver.authn.test_jwt_tokens import BASE, KEY, NOW, OTHER, document, token

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.authn import assembly
from tiphys.apiserver.authn.assembly import JwtIssuers
from tiphys.apiserver.authn.issuer_calls import IssuerUnavailable
from tiphys.apiserver.authn.jwks import IssuerKeys, KeysUnavailable
from tiphys.apiserver.authn.jwt_tokens import JwtTokens
from tiphys.apiserver.authn.tokens import Refused
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


class Provider:
    """An issuer on loopback: discovery and keys over HTTPS."""

    def __init__(self) -> None:
        self.url = ""
        self.claimed = ""
        self.keys = [document(KEY)]
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.status = 200
        """Of the answer with the keys."""
        self.document: Response | None = None
        """What is answered instead of where the keys lie."""
        self.served: Response | None = None
        """What is answered instead of the keys."""

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request.path)
        self.was_asked.set()
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
    await keys.ready()
    assert keys.candidates("k") == []
    assert [key.key_id for key in await keys.newer("k")] == ["k"]
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]
    assert len(keys.candidates("k")) == 1
    assert await keys.newer("unknown") == []
    assert len(server.asked) == 2, "an issuer is not asked at every token"
    server.keys.append(document(OTHER, "next"))
    clock.advance(1)
    assert [key.key_id for key in await keys.newer("next")] == ["next"]
    assert server.asked[2:] == ["/keys"], "where keys lie does not change"


async def test_all_who_wait_for_keys_share_one_answer(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    await asyncio.gather(*(keys.ready() for _ in range(3)))
    found = await asyncio.gather(*(keys.newer("k") for _ in range(3)))
    assert [len(one) for one in found] == [1, 1, 1]
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_key_that_changes_under_its_id(provider: tuple[Provider, str]) -> None:
    """What no known key has signed is looked at once more with those that hold now."""
    server, ca = provider
    clock = FakeClock(NOW)
    config = replace(BASE, url=server.url, certificate_authority=ca)
    issuer = JwtTokens(config, clock)
    await issuer.ready()
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
    await issuer.ready()
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
    await issuer.ready()
    with pytest.raises(Refused) as caught:
        await issuer.authenticate_token(token(iss=server.url), ())
    assert str(caught.value) == (
        "oidc: verify token: failed to verify signature: fetching keys oidc: failed to decode keys: "
        "got Content-Type = application/json, but could not unmarshal as JSON: unexpected end of JSON input ["
    )


async def test_keys_that_are_no_list(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.served = Response(200, {"content-type": "application/json"}, b'{"keys":5}')
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    await keys.ready()
    with pytest.raises(KeysUnavailable) as caught:
        await keys.newer("k")
    assert str(caught.value) == (
        "fetching keys oidc: failed to decode keys: json: cannot unmarshal number into Go struct field "
        'JSONWebKeySet.keys of type []jose.JSONWebKey {"keys":5}'
    )


async def test_nothing_for_keys(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.served = Response(200, {"content-type": "application/json"}, b"null")
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    await keys.ready()
    assert await keys.newer("k") == []


async def test_keys_that_sign_nothing_for_others(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {**document(KEY), "use": "enc"},
        {"kty": "RSA"},
    ]
    keys = IssuerKeys(server.url, FakeClock(NOW), certificate_authority=ca)
    await keys.ready()
    assert keys.candidates("") == []
    assert await keys.newer("") == []


@pytest.mark.parametrize("fault", ["another issuer", "untrusted", "another address"])
async def test_an_issuer_that_is_not_believed(provider: tuple[Provider, str], fault: str) -> None:
    server, ca = provider
    server.claimed = "https://other" if fault == "another issuer" else ""
    authority = "" if fault == "untrusted" else ca
    url = "https://127.0.0.1:1" if fault == "another address" else server.url
    keys = IssuerKeys(url, FakeClock(NOW), certificate_authority=authority)
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await keys.ready()
        assert not keys.found


async def test_a_discovery_document_elsewhere(provider: tuple[Provider, str]) -> None:
    server, ca = provider
    server.claimed = "https://issuer.example"
    discovery = f"{server.url}/other/openid-configuration"
    keys = IssuerKeys(server.claimed, FakeClock(NOW), discovery_url=discovery, certificate_authority=ca)
    await keys.ready()
    assert len(await keys.newer("k")) == 1


async def test_an_issuer_is_asked_in_the_background(
    provider: tuple[Provider, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens ask nobody where keys lie, and are refused at once; it is asked again until the issuer tells."""
    monkeypatch.setattr(assembly, "ASKED_AGAIN_S", 0)
    server, ca = provider
    server.document = Response(503, {}, b"away")
    clock = FakeClock(NOW)
    issuers = JwtIssuers([replace(BASE, url=server.url, certificate_authority=ca)], clock)
    with pytest.raises(Refused, match="oidc: authenticator not initialized"):
        await issuers.authenticate_token(token(iss=server.url), ())
    assert not server.asked
    async with asyncio.TaskGroup() as group:
        group.create_task(issuers.run())
        await server.was_asked.wait()
        with pytest.raises(Refused, match="oidc: authenticator not initialized"):
            await issuers.authenticate_token(token(iss=server.url), ())
        server.document = None
        clock.advance(10)
    assert await issuers.authenticate_token(token(iss=server.url), ()) is not None
    assert server.asked == ["/.well-known/openid-configuration"] * 2 + ["/keys"]


async def test_an_issuer_is_asked_as_the_server_starts(
    provider: tuple[Provider, str], serving: Any, tmp_path: Path
) -> None:
    server, ca = provider
    path = tmp_path / "config.yaml"
    issuer = {"url": server.url, "audiences": ["app"], "certificateAuthority": ca}
    config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
              "jwt": [{"issuer": issuer, "claimMappings": {"username": {"claim": "sub", "prefix": ""}}}]}  # fmt: skip
    path.write_text(yaml.safe_dump(config))
    async with serving(authentication_config=path):
        await asyncio.wait_for(server.was_asked.wait(), 30)


async def test_an_issuer_that_is_replaced_is_asked_no_more(
    provider: tuple[Provider, str], serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "ASKED_AGAIN_S", 0)
    server, ca = provider
    server.document = Response(503, {}, b"away")
    path = tmp_path / "config.yaml"
    empty = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    path.write_text(yaml.safe_dump(empty))
    issuers = JwtIssuers([replace(BASE, url=server.url, certificate_authority=ca)], FakeClock(NOW), path)
    async with asyncio.TaskGroup() as group:
        group.create_task(issuers.run())
        await server.was_asked.wait()
        path.write_text(yaml.safe_dump({**empty, "jwt": []}))
        assert await issuers.reload()


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
        await api.server.backend.authenticator.run()
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
        await authenticator.run()
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
