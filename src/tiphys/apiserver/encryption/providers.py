"""How one value is sealed and opened: ciphers with named keys, and the order in which they are tried.

Pure. The stored form is upstream's: ``k8s:enc:<cipher>:v1:<key name>:`` and then the cipher's bytes, so that
either server reads what the other has written. AES-GCM binds a value to its storage key.

Source: the "Encrypting Confidential Data at Rest" page.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

ENCRYPTED: Final = b"k8s:enc:"
_NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16


class Unreadable(Exception):
    """A stored value that no provider opens; the text is what clients are told."""


class Provider(Protocol):
    """One cipher with one key. Equal providers seal alike."""

    @property
    def family(self) -> bytes:
        """What the stored form of the cipher begins with, whatever the key."""
        ...

    @property
    def prefix(self) -> bytes:
        """What a value sealed with this very key begins with."""
        ...

    def seal(self, key: str, value: bytes) -> bytes: ...

    def open(self, key: str, sealed: bytes) -> bytes:
        """Raises Unreadable."""
        ...

    def mark(self, sealed: bytes | None = None) -> object:
        """Return with what a value is sealed, or would be now: equal marks, sealed alike."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Values as they are."""

    family: bytes = b""
    prefix: bytes = b""

    def seal(self, key: str, value: bytes) -> bytes:
        return value

    def open(self, key: str, sealed: bytes) -> bytes:
        if sealed.startswith(ENCRYPTED):
            raise Unreadable("identity transformer tried to read encrypted data")
        return sealed

    def mark(self, sealed: bytes | None = None) -> object:
        return self


@dataclass(frozen=True, slots=True)
class AesGcm:
    """AES-GCM with a random nonce; the storage key is authenticated with the value."""

    name: str
    secret: bytes = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cipher", AESGCM(self.secret))

    @property
    def family(self) -> bytes:
        return b"k8s:enc:aesgcm:v1:"

    @property
    def prefix(self) -> bytes:
        return self.family + self.name.encode() + b":"

    def seal(self, key: str, value: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((self.prefix, nonce, self._cipher.encrypt(nonce, value, key.encode())))

    def open(self, key: str, sealed: bytes) -> bytes:
        body = sealed[len(self.prefix) :]
        if len(body) < _NONCE_BYTES:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return self._cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], key.encode())
        except InvalidTag:
            raise Unreadable("cipher: message authentication failed") from None

    def mark(self, sealed: bytes | None = None) -> object:
        return self


@dataclass(frozen=True, slots=True)
class AesCbc:
    """AES-CBC with a random vector and PKCS#7 padding; kept for values that older clusters hold."""

    name: str
    secret: bytes = field(repr=False)

    @property
    def family(self) -> bytes:
        return b"k8s:enc:aescbc:v1:"

    @property
    def prefix(self) -> bytes:
        return self.family + self.name.encode() + b":"

    def seal(self, key: str, value: bytes) -> bytes:
        vector = os.urandom(_BLOCK_BYTES)
        padding = _BLOCK_BYTES - len(value) % _BLOCK_BYTES
        encryptor = Cipher(algorithms.AES(self.secret), modes.CBC(vector)).encryptor()
        body = encryptor.update(value + bytes([padding]) * padding) + encryptor.finalize()
        return b"".join((self.prefix, vector, body))

    def open(self, key: str, sealed: bytes) -> bytes:
        body = sealed[len(self.prefix) :]
        if len(body) < _BLOCK_BYTES:
            raise Unreadable("the stored data was shorter than the required size")
        if len(body) % _BLOCK_BYTES:
            raise Unreadable("the stored data is not a multiple of the block size")
        decryptor = Cipher(algorithms.AES(self.secret), modes.CBC(body[:_BLOCK_BYTES])).decryptor()
        plain = decryptor.update(body[_BLOCK_BYTES:]) + decryptor.finalize()
        padding = plain[-1] if plain else 0
        if not 0 < padding <= _BLOCK_BYTES or not plain.endswith(bytes([padding]) * padding):
            raise Unreadable("invalid padding on input")
        return plain[:-padding]

    def mark(self, sealed: bytes | None = None) -> object:
        return self


@dataclass(frozen=True, slots=True)
class Secretbox:
    """XSalsa20 and Poly1305 with a random nonce; the storage key is not bound to the value."""

    name: str
    secret: bytes = field(repr=False)

    @property
    def family(self) -> bytes:
        return b"k8s:enc:secretbox:v1:"

    @property
    def prefix(self) -> bytes:
        return self.family + self.name.encode() + b":"

    def seal(self, key: str, value: bytes) -> bytes:
        return self.prefix + bytes(SecretBox(self.secret).encrypt(value))  # the nonce goes first

    def open(self, key: str, sealed: bytes) -> bytes:
        body = sealed[len(self.prefix) :]
        if len(body) < SecretBox.NONCE_SIZE:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return bytes(SecretBox(self.secret).decrypt(body))
        except CryptoError:
            raise Unreadable("decryption failed") from None

    def mark(self, sealed: bytes | None = None) -> object:
        return self


@dataclass(frozen=True, slots=True)
class Providers:
    """Providers in their order: the first writes, all read."""

    providers: Sequence[Provider]

    @property
    def writer(self) -> Provider:
        return self.providers[0]

    def seal(self, key: str, value: bytes) -> bytes:
        return self.writer.seal(key, value)

    def open(self, key: str, sealed: bytes) -> tuple[bytes, Provider]:
        """Return a value and who opened it. Raises Unreadable."""
        failures: list[str] = []
        for provider in self.providers:
            if not sealed.startswith(provider.family):
                continue
            if not sealed.startswith(provider.prefix):
                failures.append("no matching key was found for the provided AES transformer")
                continue
            try:
                return provider.open(key, sealed), provider
            except Unreadable as error:
                if provider.family:  # what the identity cannot read is left to those that come after it
                    failures.append(str(error))
        # A provider with several keys fails as one: another key's real failure says more than "no key".
        real = [text for text in failures if not text.startswith("no matching key")] or failures
        texts = list(dict.fromkeys(real))
        if not texts:
            raise Unreadable("no matching prefix found")
        raise Unreadable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
