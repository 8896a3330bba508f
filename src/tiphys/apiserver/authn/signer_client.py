"""A signer of tokens outside of this process, called over gRPC on a unix socket: ``ExternalJWTSigner`` v1.

Owns: the messages, and what of the signer's answers is refused, in upstream's words. Refuses: when keys are
fetched and what tokens say (``external_keys``).

Source: KEP-740.
"""

from __future__ import annotations

import base64
import binascii
import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.wire.jwt_keys import algorithm

if TYPE_CHECKING:
    from tiphys.apimachinery.protobuf import Messages

_SERVICE: Final = "/v1.ExternalJWTSigner/"
_ALGORITHMS: Final = ("RS256", "ES256", "ES384", "ES512")
_MAX_KEY_ID: Final = 1024
_MESSAGES: Final[dict[str, dict[str, list[Any]]]] = {
    "v1.SignJWTRequest": {"claims": [1, "string"]},
    "v1.SignJWTResponse": {"header": [1, "string"], "signature": [2, "string"]},
    "v1.FetchKeysRequest": {},
    "v1.FetchKeysResponse": {
        "keys": [1, "repeated v1.Key"], "data_timestamp": [2, "v1.Timestamp"],
        "refresh_hint_seconds": [3, "int64"],
    },
    "v1.Timestamp": {"seconds": [1, "int64"], "nanos": [2, "int32"]},
    "v1.Key": {"key_id": [1, "string"], "key": [2, "bytes"], "exclude_from_oidc_discovery": [3, "bool"]},
    "v1.MetadataRequest": {},
    "v1.MetadataResponse": {"max_token_expiration_seconds": [1, "int64"]},
}  # fmt: skip


class SignerFailed(TiphysError):
    """The signer did not answer, said no, or said something that cannot be."""


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """What verifies tokens, by the keys' ids."""

    keys: dict[str, PublicKeyTypes]
    hidden: frozenset[str]
    """Ids that are told nobody: of keys that sign no more."""
    fetched_at_s: float
    """When the signer had them from where they come from."""
    refresh_s: int


@cache
def message(name: str) -> Any:
    """Return a class by its short name, loosely typed: its fields are known at run time only."""
    return _messages()[f"v1.{name}"]


@cache
def _messages() -> Messages:
    from tiphys.apimachinery.protobuf import build  # most servers sign by themselves

    return build(_MESSAGES, {})


class SignerClient:
    """Connects when it is first called; waits for a signer that is not there yet."""

    def __init__(self, path: str) -> None:
        self._target = f"unix-abstract:{path[1:]}" if path.startswith("@") else f"unix:{path}"
        self._channel: Any = None

    async def sign(self, claims: str) -> tuple[str, str]:
        """Return a token's header and signature for its middle part. Raises SignerFailed."""
        found = await self._call("Sign", "SignJWT", 60.0, claims=claims)
        return found.header, found.signature

    async def fetch_keys(self, timeout_s: float) -> FetchedKeys:
        """Raises SignerFailed."""
        return _checked(await self._call("FetchKeys", "FetchKeys", timeout_s))

    async def longest_s(self, timeout_s: float) -> int:
        """Return how long a token may last at most. Raises SignerFailed."""
        return int((await self._call("Metadata", "Metadata", timeout_s)).max_token_expiration_seconds)

    async def close(self) -> None:
        """Idempotent."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _call(self, method: str, kind: str, timeout_s: float, **fields: Any) -> Any:
        import grpc.aio  # a large package that few servers need

        if self._channel is None:
            settings = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", "localhost")]
            self._channel = grpc.aio.insecure_channel(self._target, options=settings)
        ask = self._channel.unary_unary(
            f"{_SERVICE}{method}",
            request_serializer=message(f"{kind}Request").SerializeToString,
            response_deserializer=message(f"{kind}Response").FromString,
        )
        try:
            return await ask(message(f"{kind}Request")(**fields), timeout=timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            code = error.code().name.title().replace("_", "")
            raise SignerFailed(f"rpc error: code = {code} desc = {error.details()}") from error


def _checked(answer: Any) -> FetchedKeys:
    if answer.refresh_hint_seconds <= 0:
        raise SignerFailed(f"found invalid refresh hint ({answer.refresh_hint_seconds}s)")
    if not answer.keys:
        raise SignerFailed("found no keys")
    if not answer.HasField("data_timestamp"):
        raise SignerFailed("invalid data timestamp: proto: invalid nil Timestamp")
    keys: dict[str, PublicKeyTypes] = {}
    for one in answer.keys:
        if not 0 < len(one.key_id.encode()) <= _MAX_KEY_ID:
            raise SignerFailed(f'found invalid public key id "{one.key_id}"')
        if not one.key:
            raise SignerFailed("found empty public key")
        try:
            key = serialization.load_der_public_key(one.key)
            algorithm(key)
        except (ValueError, TypeError) as error:
            raise SignerFailed(f"while parsing external public keys: {error}") from error
        keys[one.key_id] = key
    hidden = frozenset(one.key_id for one in answer.keys if one.exclude_from_oidc_discovery)
    moment = answer.data_timestamp
    return FetchedKeys(keys, hidden, moment.seconds + moment.nanos / 1e9, answer.refresh_hint_seconds)


def key_id_of(header: str) -> str:
    """Return which key a signer says that it used, and check the rest of a token's header.

    Raises SignerFailed.
    """
    try:
        found = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError) as error:
        raise SignerFailed(f"while unwrapping header: {error}") from error
    if not isinstance(found, dict):
        raise SignerFailed("while parsing header JSON: it is no object")
    for name in found:
        if name not in ("alg", "kid", "typ"):
            raise SignerFailed(f'while parsing header JSON: json: unknown field "{name}"')
    if found.get("typ") != "JWT":
        raise SignerFailed("bad type")
    kid = found.get("kid")
    if not kid or not isinstance(kid, str):
        raise SignerFailed("key id missing")
    if len(kid.encode()) > _MAX_KEY_ID:
        raise SignerFailed("key id longer than 1 kb")
    if found.get("alg") not in _ALGORITHMS:
        raise SignerFailed(f'bad signing algorithm "{found.get("alg") or ""}"')
    return kid
