"""How one value is sealed and opened: providers, and the order in which they are tried.

Pure; the ciphers are in ``encryption.ciphers`` and ``encryption.kms``. The stored form is upstream's,
``k8s:enc:<cipher>:v1:<key name>:`` and then the cipher's bytes, so that either server reads what the other
has written. AES-GCM binds a value to its storage key.

Source: the "Encrypting Confidential Data at Rest" page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apiserver import config_files

ENCRYPTED: Final = b"k8s:enc:"
_NO_KEY: Final = "no matching key was found for the provided"
SEALED: Final = "TransformToStorage succeeded"
SEALING_FAILED: Final = "TransformToStorage failed"
"""What the span of a write is told."""


class BadConfiguration(config_files.BadConfiguration):
    """A file that is no valid configuration; the text lists every fault and no secret."""


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
class Providers:
    """Providers in their order: the first writes, all read."""

    providers: Sequence[Provider]

    @property
    def writer(self) -> Provider:
        return self.providers[0]

    def seal(self, key: str, value: bytes) -> bytes:
        return self.writer.seal(key, value)

    def family_of(self, sealed: bytes) -> bytes | None:
        """Return how the form begins of a value that nobody opens, None where no cipher here is meant."""
        families = (provider.family for provider in self.providers)
        return next((family for family in families if family and sealed.startswith(family)), None)

    def open(self, key: str, sealed: bytes) -> tuple[bytes, Provider]:
        """Return a value and who opened it. Raises Unreadable."""
        failures: list[str] = []
        for provider in self.providers:
            if not sealed.startswith(provider.family):
                continue
            if not sealed.startswith(provider.prefix):
                failures.append(f"{_NO_KEY} {_called(provider.family)} transformer")
                continue
            try:
                return provider.open(key, sealed), provider
            except Unreadable as error:
                if provider.family:  # what the identity cannot read is left to those that come after it
                    failures.append(str(error))
        # A provider with several keys fails as one: another key's real failure says more than "no key".
        real = [text for text in failures if not text.startswith(_NO_KEY)] or failures
        texts = list(dict.fromkeys(real))
        if not texts:
            raise Unreadable("no matching prefix found")
        raise Unreadable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _called(family: bytes) -> str:
    """Return what texts call the cipher of a stored form."""
    return "Secretbox" if family.startswith(b"k8s:enc:secretbox:") else "AES"
