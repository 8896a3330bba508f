"""Secrets of tokens come and go with their accounts, in a cluster and over the fake API."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest

from tiphys.apimachinery.errors import NotFound
from tiphys.client.kinds import SECRETS, SERVICE_ACCOUNTS
from tiphys.controllers.tokens import plan
from tiphys.controllers.tokens.controller import ServiceAccountTokenController
from tiphys.testing import Cluster
from tiphys.wire.pki import make_signing_key, public_pem

KEY = make_signing_key()
CONTROLLERS = ("service-account-controller", "serviceaccount-token-controller")


def secret(name: str, account: str, **annotations: str) -> dict[str, Any]:
    marks = {plan.ACCOUNT: account, **annotations}
    meta = {"name": name, "namespace": "default", "annotations": marks}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": plan.TYPE}


def account(name: str, *secrets: str) -> dict[str, Any]:
    named = [{"name": one} for one in secrets]
    return {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": "default"}, "secrets": named,
    }  # fmt: skip


def has_token(obj: dict[str, Any] | None) -> bool:
    return obj is not None and "token" in (obj.get("data") or {})


async def test_a_token_that_the_server_takes() -> None:
    settings = {"controllers": CONTROLLERS, "root_ca_pem": "CA"}
    async with Cluster(nodes=0, scheduler=False, controller_options=settings) as cluster:
        await cluster.client.create(SERVICE_ACCOUNTS, account("robot"))
        await cluster.client.create(SECRETS, secret("s", "robot"))
        found = await cluster.wait_for(
            SECRETS, "s", "default", lambda obj: "token" in (obj or {}).get("data", {})
        )
        assert found is not None
        data = {name: base64.b64decode(value).decode() for name, value in found["data"].items()}
        assert (data["namespace"], data["ca.crt"]) == ("default", "CA")
        claims = jwt.decode(data["token"], options={"verify_signature": False})
        assert "exp" not in claims
        user = await cluster.server.backend.authenticator.authenticate_token(
            data["token"], cluster.server.backend.authenticator.api_audiences
        )
        assert user is not None
        assert user.user.name == "system:serviceaccount:default:robot"

        await cluster.client.delete(SERVICE_ACCOUNTS, "robot", "default")
        await cluster.wait_for(SECRETS, "s", "default", lambda obj: obj is None)


async def test_over_the_fake_api(make_world: Any) -> None:
    world = make_world(service_account_key_pem=KEY.decode(), root_ca_pem="CA")
    async with world.running(ServiceAccountTokenController):
        made = await world.client.create(SERVICE_ACCOUNTS, account("sa", "s", "kept"))
        await world.client.create(SECRETS, secret("s", "sa"))
        await world.client.create(SECRETS, secret("stray", "sa", **{plan.ACCOUNT_UID: "another"}))
        await world.client.create(SECRETS, secret("nobody's", "unknown"))
        await world.settle()
        filled = await world.client.get(SECRETS, "s", "default")
        assert filled["metadata"]["annotations"][plan.ACCOUNT_UID] == made["metadata"]["uid"]
        text = base64.b64decode(filled["data"]["token"]).decode()
        assert jwt.decode(text, public_pem(KEY).decode(), algorithms=["ES256"])["iss"] == plan.ISSUER
        for gone in ("stray", "nobody's"):
            with pytest.raises(NotFound):
                await world.client.get(SECRETS, gone, "default")

        settled = world.api.revision
        await world.client.delete(SECRETS, "s", "default")
        await world.settle()
        owner = await world.client.get(SERVICE_ACCOUNTS, "sa", "default")
        assert owner["secrets"] == [{"name": "kept"}], "a Secret that is gone is named no more"
        assert world.api.revision == settled + 2, "and nothing else was written"


async def test_an_account_of_the_same_name_keeps_its_list(make_world: Any) -> None:
    world = make_world(service_account_key_pem=KEY.decode())
    async with world.running(ServiceAccountTokenController):
        await world.client.create(SERVICE_ACCOUNTS, account("sa", "s"))
        await world.client.create(SECRETS, secret("s", "sa", **{plan.ACCOUNT_UID: "an older one's"}))
        await world.settle()
        owner = await world.client.get(SERVICE_ACCOUNTS, "sa", "default")
        assert owner["secrets"] == [{"name": "s"}]


async def test_without_a_key_nothing_is_made(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with world.running(ServiceAccountTokenController):
        await world.client.create(SERVICE_ACCOUNTS, account("sa"))
        await world.client.create(SECRETS, secret("s", "sa"))
        await world.settle()
        assert "data" not in await world.client.get(SECRETS, "s", "default")
    assert "no private key" in caplog.text
