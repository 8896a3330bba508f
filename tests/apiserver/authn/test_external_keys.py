"""A signer outside of the process: tokens that it signs, what it must not answer, when keys are fetched."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.authn.external_keys import ExternalTokenKeys
from tiphys.apiserver.authn.serviceaccount import TokenRequest
from tiphys.apiserver.authn.signer_client import SignerClient, SignerFailed, key_id_of, message
from tiphys.apiserver.authn.tokens import Refused

ISSUER = "https://iss"
ACCOUNT = {"metadata": {"namespace": "ns", "name": "sa", "uid": "u"}}
ASKED = TokenRequest(ACCOUNT, ("api",), 3600)
PKIX = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def shown(**header: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(header)).rstrip(b"=").decode()


class Signer:
    """Has keys by id, and signs with one of them."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"k1": ec.generate_private_key(ec.SECP256R1())}
        self.current = "k1"
        self.hidden: set[str] = set()
        self.refresh_s, self.longest_s = 60, 7200
        self.header: str | None = None
        self.signature: str | None = None
        self.down = False
        self.fetched = 0
        self.fetches: list[Any] | None = None

    def sign(self, request: Any) -> Any:
        claims = orjson.loads(base64.urlsafe_b64decode(request.claims + "=="))
        key = self.keys[self.current]
        name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        header, middle, signature = jwt.encode(claims, key, name, {"kid": self.current}).split(".")
        assert middle == request.claims, "both write JSON in the same way"
        return message("SignJWTResponse")(
            header=header if self.header is None else self.header,
            signature=signature if self.signature is None else self.signature,
        )

    def fetch(self, _request: Any) -> Any:
        self.fetched += 1
        keys = self.fetches
        if keys is None:
            keys = [
                message("Key")(key_id=name, key=key.public_key().public_bytes(*PKIX),
                               exclude_from_oidc_discovery=name in self.hidden)
                for name, key in self.keys.items()
            ]  # fmt: skip
        moment = message("Timestamp")(seconds=1_700_000_000, nanos=500_000_000)
        return message("FetchKeysResponse")(
            keys=keys, data_timestamp=moment, refresh_hint_seconds=self.refresh_s
        )

    def metadata(self, _request: Any) -> Any:
        return message("MetadataResponse")(max_token_expiration_seconds=self.longest_s)


@pytest.fixture
async def signer(tmp_path: Path) -> AsyncIterator[Signer]:
    """Served at ``signer.sock`` in the test's folder."""
    made = Signer()

    def handler(kind: str, answer: Any) -> Any:
        def handle(request: Any, context: Any) -> Any:
            if made.down:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "sealed")
            return answer(request)

        return grpc.unary_unary_rpc_method_handler(
            handle, message(f"{kind}Request").FromString, message(f"{kind}Response").SerializeToString
        )

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {
        "Sign": handler("SignJWT", made.sign),
        "FetchKeys": handler("FetchKeys", made.fetch),
        "Metadata": handler("Metadata", made.metadata),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("v1.ExternalJWTSigner", handlers)])
    server.add_insecure_port(f"unix:{tmp_path}/signer.sock")
    server.start()
    yield made
    await asyncio.to_thread(server.stop(None).wait)


@pytest.fixture
async def keys(signer: Signer, tmp_path: Path) -> AsyncIterator[ExternalTokenKeys]:
    made = ExternalTokenKeys((ISSUER,), SignerClient(f"{tmp_path}/signer.sock"), FakeClock())
    await made.begin()
    yield made
    await made.close()


NOW = FakeClock().now()


async def test_what_it_signs_it_verifies(keys: ExternalTokenKeys, signer: Signer) -> None:
    token = await keys.issue(ASKED, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    found = await keys.check(token)
    assert found is not None
    assert (found.user().name, found.audiences) == ("system:serviceaccount:ns:sa", ("api",))
    assert keys.longest_s == 7200
    assert signer.fetched == 1


async def test_a_key_that_is_new_is_fetched(keys: ExternalTokenKeys, signer: Signer) -> None:
    signer.keys["k2"], signer.current = rsa.generate_private_key(65537, 2048), "k2"
    token = await keys.issue(ASKED, NOW)
    assert signer.fetched == 2, "the header is looked at with the keys that hold"
    assert await keys.check(token)
    assert signer.fetched == 2
    assert [one["kid"] for one in keys.jwks()["keys"]] == ["k1", "k2"]
    assert keys.openid_configuration("u")["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


async def test_a_key_that_is_gone_verifies_no_more(keys: ExternalTokenKeys, signer: Signer) -> None:
    token = await keys.issue(ASKED, NOW)
    assert await keys.check(token)
    signer.keys = {"k9": ec.generate_private_key(ec.SECP256R1())}
    await keys._sync()
    with pytest.raises(Refused):
        await keys.check(token)
    assert signer.fetched == 3, "it might have come back"


async def test_tokens_of_others_ask_nobody(keys: ExternalTokenKeys, signer: Signer) -> None:
    other = jwt.encode(
        {"iss": "https://other"}, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "x"}
    )
    for token in (other, "no token", "a.b.c", ""):
        assert await keys.check(token) is None
    assert signer.fetched == 1


async def test_a_hidden_key_verifies_but_does_not_sign(keys: ExternalTokenKeys, signer: Signer) -> None:
    token = await keys.issue(ASKED, NOW)
    signer.hidden = {"k1"}
    await keys._sync()
    assert keys.jwks() == {"keys": []}
    assert await keys.check(token)
    with pytest.raises(InternalError, match=r"\(kid: k1\) is excluded from OIDC discovery docs"):
        await keys.issue(ASKED, NOW)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"down": True}, "while signing jwt: rpc error: code = FailedPrecondition desc = sealed"),
        ({"header": "&"}, "while validating header: while unwrapping header"),
        ({"header": shown(alg="ES256", kid="k1")}, "while validating header: bad type"),
        ({"header": shown(alg="ES256", typ="JWT")}, "while validating header: key id missing"),
        ({"signature": ""}, "empty signature returned"),
    ],
)
async def test_what_it_must_not_answer(
    keys: ExternalTokenKeys, signer: Signer, change: dict[str, Any], text: str
) -> None:
    for name, value in change.items():
        setattr(signer, name, value)
    with pytest.raises(InternalError) as caught:
        await keys.issue(ASKED, NOW)
    assert f"Internal error occurred: failed to generate token: {text}" in caught.value.message


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"alg": "HS256", "kid": "k", "typ": "JWT"}, 'bad signing algorithm "HS256"'),
        ({"kid": "k", "typ": "JWT"}, 'bad signing algorithm ""'),
        ({"alg": "ES256", "kid": "k" * 1025, "typ": "JWT"}, "key id longer than 1 kb"),
        ({"alg": "ES256", "kid": "k", "typ": "JWT", "crit": 1}, 'json: unknown field "crit"'),
        ({"alg": "ES256", "kid": "k", "typ": "jwt"}, "bad type"),
    ],
)
def test_headers(header: dict[str, Any], text: str) -> None:
    with pytest.raises(SignerFailed, match=text):
        key_id_of(shown(**header))
    assert key_id_of(shown(alg="RS256", kid="k", typ="JWT")) == "k"


GOOD = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*PKIX)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"refresh_s": 0}, r"found invalid refresh hint \(0s\)"),
        ({"fetches": []}, "found no keys"),
        ({"fetches": [("", GOOD)]}, 'found invalid public key id ""'),
        ({"fetches": [("k" * 1025, GOOD)]}, "found invalid public key id"),
        ({"fetches": [("k", b"")]}, "found empty public key"),
        ({"fetches": [("k", b"nothing")]}, "while parsing external public keys"),
        ({"longest_s": 599}, r"\(599s\) is less than acceptable \(min 600s\)"),
        ({"down": True}, "sealed"),
    ],
)
async def test_it_does_not_begin(signer: Signer, tmp_path: Path, change: dict[str, Any], text: str) -> None:
    for name, value in change.items():
        made = [message("Key")(key_id=kid, key=key) for kid, key in value] if name == "fetches" else value
        setattr(signer, name, made)
    keys = ExternalTokenKeys((ISSUER,), SignerClient(f"{tmp_path}/signer.sock"), FakeClock())
    with pytest.raises(SignerFailed, match=text):
        await keys.begin()
    await keys.close()


async def test_keys_stay_while_it_is_away(keys: ExternalTokenKeys, signer: Signer) -> None:
    token = await keys.issue(ASKED, NOW)
    signer.down = True
    await keys._try_sync()
    assert await keys.check(token)
    with pytest.raises(InternalError):
        await keys.issue(ASKED, NOW)
    signer.down, signer.fetches = False, []
    await keys._try_sync()
    counted = {
        (sample.name, *sample.labels.values()): sample.value
        for family in keys.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    prefix = "apiserver_externaljwt_"
    assert counted == {
        (f"{prefix}fetch_keys_request_total", "OK"): 1,
        (f"{prefix}fetch_keys_request_total", "FailedPrecondition"): 1,
        (f"{prefix}fetch_keys_request_total", "unknown-non-grpc"): 1,
        (f"{prefix}sign_request_total", "OK"): 1,
        (f"{prefix}sign_request_total", "FailedPrecondition"): 1,
        (f"{prefix}fetch_keys_data_timestamp",): 1_700_000_000.5,
        (f"{prefix}fetch_keys_success_timestamp",): NOW.timestamp(),
    }


async def test_one_answer_is_for_all_who_wait(keys: ExternalTokenKeys, signer: Signer) -> None:
    await asyncio.gather(*(keys._sync() for _ in range(8)))
    assert signer.fetched == 2


async def test_keys_are_fetched_as_often_as_it_says(keys: ExternalTokenKeys, signer: Signer) -> None:
    assert keys.max_age_s == 60
    keys._clock.advance(61)  # type: ignore[attr-defined]
    assert keys.max_age_s == 0
    running = asyncio.create_task(keys.run())
    async with asyncio.timeout(10):
        while signer.fetched == 1:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait({running})


async def test_a_server_of_it(serving: Any, signer: Signer, tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    pod_path = "/api/v1/namespaces/default/pods"
    endpoint = {"service_account_signing_endpoint": f"{tmp_path}/signer.sock"}
    async with serving(service_account_issuer=ISSUER, **endpoint) as api:
        made = await api.create(path, {"spec": {"expirationSeconds": 9000}})
        assert made["spec"]["expirationSeconds"] == 7200, "no longer than it can"
        token = made["status"]["token"]
        review = await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
        assert review["status"]["user"]["username"] == "system:serviceaccount:default:default"
        assert (await api("GET", "/openid/v1/jwks", accept="")).json["keys"][0]["kid"] == "k1"
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await api.create(pod_path, pod)
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
        made = await api.create(path, {"spec": {"expirationSeconds": 3607, "boundObjectRef": bound}})
        claims = jwt.decode(made["status"]["token"], options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 7200
        assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
        signer.down = True
        answer = await api("POST", path, {"spec": {}})
        assert (answer.status, "failed to generate token: while signing jwt" in answer.message) == (500, True)


async def test_a_server_that_would_promise_more(serving: Any, signer: Signer, tmp_path: Path) -> None:
    with pytest.raises(SignerFailed, match="by service-account-signing-endpoint: 2h0m1s > 2h0m0s"):
        async with serving(
            service_account_signing_endpoint=f"{tmp_path}/signer.sock",
            service_account_max_token_expiration_s=7201,
        ):
            pass
