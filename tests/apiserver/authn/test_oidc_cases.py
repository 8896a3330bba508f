"""Issuers of a configuration file as a whole server shows them: users, faults, changes, metrics."""
# ruff: noqa: E501

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import yaml
from tests.apiserver.authn.test_jwt_tokens import KEY, OTHER, document, token

from tiphys.apimachinery import featuregates
from tiphys.apimachinery.clock import RealClock
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PODS = "/api/v1/namespaces/default/pods"
NAME = {"username": {"expression": "'k8s-' + claims.sub"}}
JOE = {"username": "k8s-joe", "groups": ["system:authenticated"]}
ROLES = '(claims.roles.split(",") + claims.other.split(",")).map(role, "{}:" + role)'
FOUR = {"roles": "a,b", "other": "c,d"}


class World:
    """Issuers of one machine: what one signs lies under its name, wherever it says it is."""

    def __init__(self, path: Path, authority: str) -> None:
        self.path = path
        self.authority = authority
        self.url = ""
        self.keys = {"second": document(OTHER, "other")}
        self.written: list[dict[str, Any]] = []

    async def __call__(self, request: Request) -> Response:
        name = request.path.split("/")[1]
        if request.path.endswith("openid-configuration"):
            body: Any = {"issuer": self.issuer(name), "jwks_uri": f"{self.url}/{name}/keys"}
        else:
            body = self.key_set(name)
        return Response(200, {"content-type": "application/json"}, orjson.dumps(body))

    def key_set(self, name: str) -> dict[str, Any]:
        return {"keys": [self.keys.get(name) or document(KEY)]}

    @staticmethod
    def issuer(name: str) -> str:
        return f"https://{name}.example/a"

    def entry(self, name: str, mappings: Any, audiences: tuple[str, ...] = ("app", "b"), **rest: Any) -> Any:
        issuer = {
            "url": self.issuer(name), "audiences": list(audiences), "certificateAuthority": self.authority,
            "audienceMatchPolicy": "MatchAny",
            "discoveryURL": f"{self.url}/{name}/.well-known/openid-configuration",
        }  # fmt: skip
        return {"issuer": issuer, "claimMappings": mappings, **rest}

    def write(self, *entries: Any) -> str:
        config = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
        text = yaml.safe_dump({**config, "jwt": list(entries)})
        self.path.write_text(text)
        return text


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | int]] = {
    # configuration of the issuer, claims -> user, or the status
    "name": ({"mappings": NAME}, {}, JOE),
    "groups": (
        {"mappings": {**NAME, "groups": {"expression": ROLES.format("prefix")}}}, FOUR,
        {**JOE, "groups": ["prefix:a", "prefix:b", "prefix:c", "prefix:d", "system:authenticated"]},
    ),
    "claim-rule": (
        {"mappings": NAME, "claimValidationRules": [{"expression": "claims.hd == 'example.com'", "message": "no"}]},
        {"hd": "other.com"}, 401,
    ),
    "extra": (
        {"mappings": {**NAME, "extra": [{"key": "example.org/foo", "valueExpression": "'bar'"},
                                        {"key": "example.org/baz", "valueExpression": "claims.baz"}]},
         "userValidationRules": [{"expression": "'bar' in user.extra['example.org/foo'] && "
                                                "'qux' in user.extra['example.org/baz']"}]},
        {"baz": "qux"},
        {**JOE, "extra": {"example.org/foo": ["bar"], "example.org/baz": ["qux"]}},
    ),
    "uid": ({"mappings": {**NAME, "uid": {"expression": "claims.uid"}}}, {"uid": "1234"}, {**JOE, "uid": "1234"}),
    "user-rule": (
        {"mappings": {**NAME, "groups": {"expression": ROLES.format("system")}},
         "userValidationRules": [{"expression": "user.groups.all(group, !group.startsWith('system:'))"}]},
        FOUR, 401,
    ),
    "audiences": (
        {"mappings": NAME, "audiences": ("baz", "foo"),
         "claimValidationRules": [{"expression": "sets.equivalent(claims.aud, ['bar', 'foo', 'baz'])"}]},
        {"aud": ["foo", "bar", "baz"]}, JOE,
    ),
    "no-name-by-expression": ({"mappings": {"username": {"expression": "claims.sub"}}}, {"sub": ""}, 401),
    "no-name-by-claim": (
        {"mappings": {"username": {"claim": "sub", "prefix": ""}}}, {"sub": ""},
        {"groups": ["system:authenticated"]},
    ),
    "a-group-that-is-null": (
        {"mappings": {**NAME, "groups": {"claim": "groups", "prefix": "p:"}}}, {"groups": ["a", None]},
        {**JOE, "groups": ["p:a", "p:", "system:authenticated"]},
    ),
    "what-a-user-has-not": (
        {"mappings": NAME, "userValidationRules": [
            {"expression": "user.uid == '' && user.groups.size() == 0 && !('a' in user.extra) && has(user.extra)"}
        ]}, {}, JOE,
    ),
    "over": ({"mappings": NAME}, {"exp": 1}, 401),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    now = RealClock().now()
    ca = pki.make_ca("issuer-ca", now)
    pair = pki.issue_server(ca, "issuer", ["127.0.0.1"], now)
    found = World(tmp_path_factory.mktemp("oidc") / "config.yaml", ca.certificate.decode())
    async with serve(found, ssl_context=pki.server_context(pair, None), grace_s=0.1) as server:
        found.url = f"https://127.0.0.1:{server.port}"
        yield found


@pytest.fixture
def signed(world: World) -> Any:
    def make(api: Any, name: str, **claims: Any) -> str:
        exp = int(api.clock.now().timestamp()) + 60
        return token(**{"iss": world.issuer(name), "sub": "joe", "exp": exp, **claims})

    return make


async def test_users(world: World, serving: Any, signed: Any) -> None:
    """Several issuers of one file, each with its own document elsewhere."""
    world.write(*(world.entry(name, **config) for name, (config, _, _) in CASES.items()))
    async with serving(authentication_config=world.path) as api:
        await api.server.backend.authenticator.run()
        for name, (_, claims, want) in CASES.items():
            answer = await api("POST", WHOAMI, {}, user=signed(api, name, **claims))
            if isinstance(want, int):
                assert answer.status == want, name
            else:
                assert answer.json["status"]["userInfo"] == want, name
        answer = await api("GET", PODS, user=signed(api, "no-name-by-claim", sub=""))
        assert answer.json["message"] == (
            'pods is forbidden: User "" cannot list resource "pods" in API group "" in the namespace "default"'
        )
        assert (await api("GET", PODS, user=signed(api, "nobody"))).status == 401


async def test_what_is_remembered_of_tokens_is_counted(world: World, serving: Any, signed: Any) -> None:
    world.write(world.entry("i", NAME))
    async with serving(authentication_config=world.path) as api:
        await api.server.backend.authenticator.run()
        token = signed(api, "i")
        for _ in range(3):
            assert (await api("POST", WHOAMI, {}, user=token)).status == 201
        assert await counted(api, "authentication_token_cache_request_total") == [
            'authentication_token_cache_request_total{status="hit"} 2',
            'authentication_token_cache_request_total{status="miss"} 1',
        ]


FIRST, PANDA = NAME, {"username": {"expression": "'panda-' + claims.sub"}}
CHANGES: dict[str, tuple[Any, Any, str, str, str]] = {
    # mappings before and after, None: no issuer -> users before and after, what is counted
    "another mapping": (FIRST, PANDA, "k8s-joe", "panda-joe", "success"),
    "an issuer comes": (None, PANDA, "", "panda-joe", "success"),
    "no issuer is left": (FIRST, None, "k8s-joe", "", "success"),
    "a typo": (FIRST, {"username": {"expression": "'k8s-' + claimss.sub"}}, "k8s-joe", "k8s-joe", "failure"),
    "the authority comes": ("untrusted", FIRST, "", "k8s-joe", "success"),
    "another authority": (FIRST, "untrusted", "k8s-joe", "k8s-joe", "failure"),
}


@pytest.mark.parametrize("case", CHANGES)
async def test_a_file_that_changes(world: World, serving: Any, signed: Any, case: str) -> None:
    before, after, first, second, result = CHANGES[case]

    def write(mappings: Any) -> str:
        if mappings == "untrusted":
            entry = world.entry("i", FIRST)
            del entry["issuer"]["certificateAuthority"]
            return world.write(entry)
        return world.write(*([world.entry("i", mappings)] if mappings else []))

    async def name(api: Any) -> str:
        answer = await api("POST", WHOAMI, {}, user=signed(api, "i"))
        return "" if answer.status == 401 else answer.json["status"]["userInfo"]["username"]

    texts = [write(before)]
    async with serving(authentication_config=world.path) as api:
        if first:
            await api.server.backend.authenticator.run()
        assert await name(api) == first
        texts.append(write(after))
        await api.server.backend.authenticator.reload()
        assert await name(api) == second
        shown = await counted(api, "apiserver_authentication_config_controller_")
        digest = hashlib.sha256(texts[result == "success"].encode()).hexdigest()
        assert next(line for line in shown if "automatic_reloads_total" in line).endswith(
            f'status="{result}"}} 1'
        )
        assert f'hash="sha256:{digest}"' in next(line for line in shown if "last_config_info" in line)


async def counted(api: Any, prefix: str) -> list[str]:
    lines = (await api("GET", "/metrics")).raw.decode().splitlines()
    return [line for line in lines if line.startswith(prefix)]


def hashed(text: bytes | str) -> str:
    data = text.encode() if isinstance(text, str) else text
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def test_what_is_counted_of_issuers(world: World, serving: Any, signed: Any) -> None:
    world.write(world.entry("first", NAME), world.entry("second", NAME))
    prefix = "apiserver_authentication_jwt_authenticator_"
    async with serving(authentication_config=world.path) as api:
        await api.server.backend.authenticator.run()
        for text, status in (
            (signed(api, "first"), 201),
            (signed(api, "second"), 401),
            (signed(api, "nobody"), 401),
        ):
            assert (await api("POST", WHOAMI, {}, user=text)).status == status
        times = await counted(api, f"{prefix}latency_seconds_count")
        assert sorted(times) == sorted(
            f'{prefix}latency_seconds_count{{jwt_issuer_hash="{hashed(world.issuer(name))}",result="{result}"}} 1'
            for name, result in (("first", "success"), ("second", "failure"))
        )
        shown = "\n".join(await counted(api, f"{prefix}jwks_fetch"))
        for name in ("first", "second"):
            issuer = f'jwt_issuer_hash="{hashed(world.issuer(name))}"'
            assert f'{issuer},result="success"' in shown
            assert f'hash="{hashed(orjson.dumps(world.key_set(name)))}",{issuer}' in shown
        world.write(world.entry("first", PANDA))
        await api.server.backend.authenticator.reload()
        shown = "\n".join(await counted(api, f"{prefix}jwks_fetch"))
        assert shown.count("key_set_info") == 1, "who is no longer named is no longer shown"
        assert hashed(world.issuer("first")) in shown, "and who stays is, before its keys come anew"
        with featuregates.using(
            featuregates.resolve({"StructuredAuthenticationConfigurationJWKSMetrics": False})
        ):
            assert not await counted(api, f"{prefix}jwks_fetch")
