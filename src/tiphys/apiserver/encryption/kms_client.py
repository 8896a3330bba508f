"""One KMS plugin, called over gRPC on a unix socket: ``Status``, ``Encrypt``, ``Decrypt`` of KMS v2.

Calls block: whoever makes them on an event loop's thread says why it may. Owns: the messages, deadlines, and
what failures are called. Refuses: what keys are for (``kms``).

Source: KEP-3299; package v2 of the KMS API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cache
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import TiphysError
from tiphys.apimachinery.meta import new_uid
from tiphys.apimachinery.protobuf import Messages, build

_SERVICE: Final = "/v2.KeyManagementService/"
_MESSAGES: Final[dict[str, dict[str, list[Any]]]] = {
    "v2.StatusRequest": {},
    "v2.StatusResponse": {"version": [1, "string"], "healthz": [2, "string"], "key_id": [3, "string"]},
    "v2.EncryptRequest": {"plaintext": [1, "bytes"], "uid": [2, "string"]},
    "v2.EncryptResponse": {
        "ciphertext": [1, "bytes"], "key_id": [2, "string"], "annotations": [3, "map<string,bytes>"],
    },
    "v2.DecryptRequest": {
        "ciphertext": [1, "bytes"], "uid": [2, "string"], "key_id": [3, "string"],
        "annotations": [4, "map<string,bytes>"],
    },
    "v2.DecryptResponse": {"plaintext": [1, "bytes"]},
    "v2.EncryptedObject": {
        "encrypted_data": [1, "bytes"], "key_id": [2, "string"], "encrypted_dek_source": [3, "bytes"],
        "annotations": [4, "map<string,bytes>"], "encrypted_dek_source_type": [5, "int32"],
    },
}  # fmt: skip
"""The last one is what is stored."""


class KmsFailed(TiphysError):
    """The plugin did not answer, or said no."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a plugin is."""

    version: str
    healthz: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What a plugin made of a key."""

    ciphertext: bytes = field(repr=False)
    key_id: str = ""
    annotations: Mapping[str, bytes] = field(default_factory=dict)


@cache
def messages() -> Messages:
    """Return the message classes, made when first needed."""
    return build(_MESSAGES, {})


def message(name: str) -> Any:
    """Return a class by its short name, loosely typed: its fields are known at run time only."""
    return messages()[f"v2.{name}"]


class KmsClient:
    """Connects when it is first called; the connection is made again where it broke."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        self._target = target_of(endpoint)
        self._timeout_s = timeout_s
        self._channel: Any = None

    def status(self) -> Status:
        """Raises KmsFailed."""
        found = self._call("Status")
        return Status(found.version, found.healthz, found.key_id)

    def encrypt(self, plaintext: bytes) -> Encrypted:
        """Raises KmsFailed."""
        found = self._call("Encrypt", plaintext=plaintext, uid=new_uid())
        return Encrypted(found.ciphertext, found.key_id, dict(found.annotations))

    def decrypt(self, encrypted: Encrypted) -> bytes:
        """Raises KmsFailed."""
        found = self._call(
            "Decrypt", ciphertext=encrypted.ciphertext, uid=new_uid(), key_id=encrypted.key_id,
            annotations=dict(encrypted.annotations),
        )  # fmt: skip
        return bytes(found.plaintext)

    def close(self) -> None:
        """Idempotent."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call(self, method: str, **fields: Any) -> Any:
        import grpc  # a large package that few servers need

        if self._channel is None:
            self._channel = grpc.insecure_channel(self._target, options=[("grpc.enable_http_proxy", 0)])
        ask = self._channel.unary_unary(
            f"{_SERVICE}{method}",
            request_serializer=message(f"{method}Request").SerializeToString,
            response_deserializer=message(f"{method}Response").FromString,
        )
        try:
            return ask(message(f"{method}Request")(**fields), timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise KmsFailed(
                f"rpc error: code = {error.code().name.title().replace('_', '')} desc = {error.details()}"
            ) from error


def target_of(endpoint: str) -> str:
    """Return gRPC's name for ``unix:///path``, or ``unix:///@name`` of a socket without a file."""
    path = endpoint.removeprefix("unix://")
    return f"unix-abstract:{path[2:]}" if path.startswith("/@") else f"unix:{path}"
