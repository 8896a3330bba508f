"""The ciphers that seal with a key of the configuration itself.

Pure. Loaded only where values are encrypted: most servers encrypt none.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver.encryption.providers import Unreadable

_NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16


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
        if not 0 < padding <= len(plain):
            raise Unreadable("invalid PKCS7 data (empty or not padded)")
        if padding > _BLOCK_BYTES or not plain.endswith(bytes([padding]) * padding):
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
        if len(body) < SecretBox.NONCE_SIZE + SecretBox.MACBYTES:
            raise Unreadable("the stored data was shorter than the required size")
        try:
            return bytes(SecretBox(self.secret).decrypt(body))
        except CryptoError:
            raise Unreadable("output array was not large enough for encryption") from None

    def mark(self, sealed: bytes | None = None) -> object:
        return self
