"""A KMS plugin for tests: called in this process, or served over a socket."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tiphys.apiserver.encryption.kms_client import Encrypted, KmsFailed, Status, message


def mixed(data: bytes, key_id: str) -> bytes:
    """Turn a seed into something else and back; no cipher, but enough to tell keys apart."""
    stream = hashlib.sha256(key_id.encode()).digest() * (len(data) // 32 + 1)
    return bytes(one ^ other for one, other in zip(data, stream, strict=False))


@dataclass
class Plugin:
    """A plugin in this process: what it says, and what it was asked."""

    key_id: str = "1"
    version: str = "v2"
    healthz: str = "ok"
    down: bool = False
    annotations: dict[str, bytes] = field(default_factory=lambda: {"kek.example.com": b"x"})
    asked: list[str] = field(default_factory=list)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise KmsFailed("rpc error: code = Unavailable desc = down")

    def status(self) -> Status:
        self._ask("Status")
        return Status(self.version, self.healthz, self.key_id)

    def encrypt(self, plaintext: bytes) -> Encrypted:
        self._ask("Encrypt")
        return Encrypted(mixed(plaintext, self.key_id), self.key_id, self.annotations)

    def decrypt(self, encrypted: Encrypted) -> bytes:
        self._ask("Decrypt")
        assert encrypted.annotations == self.annotations
        return mixed(encrypted.ciphertext, encrypted.key_id)

    def close(self) -> None:
        self.asked.append("close")


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Plugin]]:
    """A plugin that is served at an endpoint; both."""
    plugin = Plugin()

    def answer(name: str, make: Any) -> Any:
        def handle(request: Any, context: Any) -> Any:
            if plugin.down:
                context.abort(grpc.StatusCode.UNAVAILABLE, "down")
            return make(request)

        return grpc.unary_unary_rpc_method_handler(
            handle, message(f"{name}Request").FromString, message(f"{name}Response").SerializeToString
        )

    def encrypt(request: Any) -> Any:
        made = plugin.encrypt(request.plaintext)
        return message("EncryptResponse")(
            ciphertext=made.ciphertext, key_id=made.key_id, annotations=dict(made.annotations)
        )

    def decrypt(request: Any) -> Any:
        asked = Encrypted(request.ciphertext, request.key_id, dict(request.annotations))
        return message("DecryptResponse")(plaintext=plugin.decrypt(asked))

    def status(_request: Any) -> Any:
        found = plugin.status()
        return message("StatusResponse")(version=found.version, healthz=found.healthz, key_id=found.key_id)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"Status": answer("Status", status), "Encrypt": answer("Encrypt", encrypt),
                "Decrypt": answer("Decrypt", decrypt)}  # fmt: skip
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)]
    )
    server.add_insecure_port(f"unix:{folder}/kms.sock")
    server.start()
    try:
        yield f"unix://{folder}/kms.sock", plugin
    finally:
        server.stop(None).wait()
