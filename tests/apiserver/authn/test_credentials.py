"""What is taken out of a request before others see it, and how tokens of both places are tried."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.errors import Unauthorized
from tiphys.apiserver.aggregation.front_proxy import headers_for
from tiphys.apiserver.authn import impersonation
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authn.credentials import without_credentials
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.tokens import StaticTokens
from tiphys.apiserver.authn.user import User, extra_key
from tiphys.apiserver.options import TokenEntry
from tiphys.apiserver.subresources.kubelet_link import forwarded_headers
from tiphys.wire.message import Request

P = "base64url.bearer.authorization.k8s.io."
KNOWN, OTHER = f"{P}a25vd24", f"{P}b3RoZXI"
SENT = {
    "Accept": "*/*",
    "Authorization": "Bearer secret",
    "Cookie": "c=1",
    "Impersonate-User": "root",
    "Impersonate-Extra-a": "1",
    "X-Remote-User": "root",
    "X-Remote-Uid": "0",
    "X-Remote-Group": "system:masters",
    "X-Remote-Extra-Scopes": "all",
    "X-Who": "root",
    "X-More-Scopes": "all",
    "Sec-WebSocket-Protocol": f"{KNOWN}, v4.channel.k8s.io",
}
PLAIN = {"Accept": "*/*", "Cookie": "c=1", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
OWN = {"X-Who": "root", "X-More-Scopes": "all"}
HEADER = RequestHeader(b"", username_headers=("x-who",), extra_prefixes=("X-More-",))


def test_what_is_no_credential() -> None:
    assert dict(without_credentials(SENT.items())) == {**PLAIN, **OWN}
    assert dict(without_credentials(SENT.items(), HEADER)) == PLAIN
    only = [("sec-websocket-protocol", KNOWN)]
    assert list(without_credentials(only)) == []


def test_pods_and_kubelets_see_none() -> None:
    assert forwarded_headers(SENT, HEADER) == PLAIN
    kept = forwarded_headers({**SENT, "upgrade": "websocket", "connection": "upgrade"}, HEADER, upgrade=True)
    assert kept == {**PLAIN, "Connection": "Upgrade", "Upgrade": "websocket"}


def test_extension_servers_see_the_user_alone() -> None:
    told = [("X-Remote-User", "alice"), ("X-Remote-Group", "dev")]
    for header, others in ((None, OWN), (HEADER, {})):
        sent = headers_for(User("alice", groups=("dev",)), list(SENT.items()), header)
        assert sorted(sent) == sorted([*{**PLAIN, **others}.items(), *told])


def test_what_is_for_the_next_hop_goes_no_further() -> None:
    sent = {"X-Hop": "1", "X-Own": "2", "Connection": "keep-alive, x-hop", "Proxy-Connection": "close"}
    assert forwarded_headers(sent) == {"X-Own": "2"}
    told = [("X-Own", "2"), ("X-Remote-User", "alice")]
    assert headers_for(User("alice"), list(sent.items())) == told


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("alpha", "alpha"),
        ("percent%20encoded", "percent encoded"),
        ("almost%zzpercent%xxencoded", "almost%zzpercent%xxencoded"),
        ("half%20%zz", "half%20%zz"),
        ("end%2", "end%2"),
        ("example.com%2fpercent%2520encoded", "example.com/percent%20encoded"),
        ("example.com%2f%e4%bb%8a%e6%97%a5%e3%81%af", "example.com/\u4eca\u65e5\u306f"),
        ("abc123!#$+.-_*\\^`~|'", "abc123!#$+.-_*\\^`~|'"),
    ],
)
def test_keys_of_extras(name: str, want: str) -> None:
    assert extra_key(name) == want
    user = RequestHeader(b"").user_of({"x-remote-user": "bob", f"x-remote-extra-{name}": "v"})
    assert user is not None
    assert user.extra == ((want, ("v",)),)
    other = impersonation.read({"impersonate-user": "bob", f"impersonate-extra-{name}": "v"})
    assert other.extra == ((want, ("v",)),)


@pytest.mark.parametrize(
    ("header", "protocols", "want"),
    [
        ("Bearer known", "", "bob"),
        ("Bearer known more", "", "bob"),
        ("", f"{KNOWN},dummy", "bob"),
        ("Bearer wrong", f"{KNOWN},dummy", "bob"),
        ("Bearer known", f"{KNOWN}", "bob"),
        ("", f"{KNOWN}", None),
        ("", f"{KNOWN},{KNOWN},dummy", None),
        ("", f"{OTHER},dummy", None),
        ("Bearer  known", "", "system:anonymous"),
        ("", f"{P},dummy", "system:anonymous"),
    ],
)
async def test_tokens_of_both_places(header: str, protocols: str, want: str | None) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket"}
    headers |= {"authorization": header} if header else {}
    headers |= {"sec-websocket-protocol": protocols} if protocols else {}
    asked = Authenticator([StaticTokens([TokenEntry("known", "bob", "")])], ())  # type: ignore[list-item]
    request = Request("GET", "/api", headers=headers)
    if want is None:
        with pytest.raises(Unauthorized):
            await asked.authenticate(request)
    else:
        assert (await asked.authenticate(request)).name == want


async def test_a_space_too_many_is_told(api: Any) -> None:
    headers = {"authorization": "Bearer  admin", "accept": "application/json"}
    answer = await api.server.handler(Request("GET", "/api/v1/pods", headers=headers))
    assert answer.status == 403
    assert orjson.loads(answer.body)["message"].startswith('pods is forbidden: User "system:anonymous"')
    assert "extra space before the bearer token, and is ignored" in answer.headers["warning"]
