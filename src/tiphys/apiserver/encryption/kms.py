"""KMS v2: values are sealed with keys derived from a seed, which a plugin alone can unseal.

A value is stored as ``k8s:enc:kms:v2:<name>:`` and an ``EncryptedObject`` as upstream's: the sealed seed, the
id of the plugin's key, and what the seed sealed. Each value has a key of its own: HKDF of the seed and 32
random bytes.

Owns: seeds, when there is a new one (the plugin's key has another id), how long one may write while the
plugin does not answer, and what health checks hear. A seed that another server made is unsealed when its
first value is opened: the server waits for the plugin then, once a seed, for the configured timeout at most.

Source: KEP-3299; the "Using a KMS provider for data encryption" page.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from google.protobuf.message import DecodeError

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import Clock, RealClock, rfc3339
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import InternalError
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.names import is_dns1123_subdomain
from tiphys.apiserver.encryption.kms_client import Encrypted, KmsClient, KmsFailed, Status, message
from tiphys.apiserver.encryption.kms_counts import FROM_STORAGE, TO_STORAGE, KmsCounts, collect
from tiphys.apiserver.encryption.providers import Unreadable

_GCM_KEY, _SEED = 0, 1
"""How the unsealed source makes the key of a value: it is that key, or the seed of one."""
_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SOURCE_MAX: Final = 1024
_KEY_ID_MAX: Final = 1024
_ANNOTATIONS_MAX: Final = 32 * 1024
_WRITES_FOR: Final = timedelta(minutes=3)
_SEEDS_MAX: Final = 4096
_AGAIN_S: Final = 10.0
"""A seed that could not be unsealed is tried again after this."""
_VERSIONS: Final = ("v2", "v2beta1")


class Service(Protocol):
    """A KMS plugin. Every call may raise KmsFailed."""

    def status(self) -> Status: ...
    def encrypt(self, plaintext: bytes) -> Encrypted: ...
    def decrypt(self, encrypted: Encrypted) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class KmsSettings:
    """One plugin as the configuration names it."""

    name: str
    endpoint: str
    timeout_s: float = 3.0


class Seed:
    """Seals each value with a key of its own."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def seal(self, key: str, value: bytes) -> bytes:
        info, nonce = os.urandom(_BYTES), os.urandom(_NONCE_BYTES)
        return b"".join((info, nonce, self._cipher(info).encrypt(nonce, value, key.encode())))

    def open(self, key: str, sealed: bytes) -> bytes:
        """Raises Unreadable."""
        return _opened(self._cipher(sealed[:_BYTES]), key, sealed[_BYTES:])

    def _cipher(self, info: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(algorithm=SHA256(), length=_BYTES, info=info).derive(self._seed))


class PlainKey:
    """Opens what was sealed with one key for all, as older servers did."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def open(self, key: str, sealed: bytes) -> bytes:
        """Raises Unreadable."""
        return _opened(self._cipher, key, sealed)


def _opened(cipher: AESGCM, key: str, sealed: bytes) -> bytes:
    if len(sealed) < _NONCE_BYTES:
        raise Unreadable("the stored data was shorter than the required size")
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key.encode())
    except InvalidTag:
        raise Unreadable("cipher: message authentication failed") from None


@dataclass(frozen=True, slots=True)
class _State:
    """What writes are sealed with."""

    seed: Seed
    source: Encrypted
    until: datetime
    """While the plugin does not answer, nothing is written after this."""


_Source = tuple[int, bytes, str, tuple[tuple[str, bytes], ...]]


class Kms:
    """One plugin as a provider. ``poll`` must be called from time to time, off the event loop."""

    def __init__(self, name: str, service: Service, clock: Clock | None = None) -> None:
        self.name = name
        self.prefix = self.family = f"k8s:enc:kms:v2:{name}:".encode()
        self._told = {"transformer.provider.name": name}
        self._service = service
        self._clock = clock or RealClock()
        self._state: _State | None = None
        self._known: OrderedDict[_Source, Seed | PlainKey] = OrderedDict()
        self._failed: dict[_Source, tuple[float, str]] = {}
        self.counts = KmsCounts(name, self._clock)
        self.fault: str | None = f"kms provider {name} has not been asked yet"

    @classmethod
    def of(cls, settings: KmsSettings, clock: Clock | None = None) -> Kms:
        """Make the provider of a plugin; nothing is called yet."""
        return cls(settings.name, KmsClient(settings.endpoint, settings.timeout_s), clock)

    # -- values

    def seal(self, key: str, value: bytes) -> bytes:
        """Raises InternalError: the plugin has not answered for too long, or never."""
        with tracing.step("TransformToStorage with envelopeTransformer", self._told):
            return self._sealed(key, value)

    def _sealed(self, key: str, value: bytes) -> bytes:
        state, now = self._state, self._clock.now()
        if state is None:
            raise InternalError.of("got unexpected nil transformer")
        if now > state.until:
            raise InternalError.of(
                f'encryptedDEKSource with keyID hash "{_hash(state.source.key_id)}" expired at '
                f"{rfc3339(state.until)} (current time is {rfc3339(now)})"
            )
        tracing.event("About to encrypt data using DEK")
        data = state.seed.seal(key, value)
        tracing.event("Data encryption succeeded")
        self.counts.used(state.source.key_id, TO_STORAGE)
        tracing.event("About to encode encrypted object")
        stored = message("EncryptedObject")(
            encrypted_data=data, key_id=state.source.key_id,
            encrypted_dek_source=state.source.ciphertext, annotations=dict(state.source.annotations),
            encrypted_dek_source_type=_SEED,
        )  # fmt: skip
        made = self.prefix + bytes(stored.SerializeToString(deterministic=True))
        tracing.event("Encoded encrypted object")
        return made

    def open(self, key: str, sealed: bytes) -> bytes:
        """Raises Unreadable."""
        with tracing.step("TransformFromStorage with envelopeTransformer", self._told):
            tracing.event("About to decode encrypted object")
            with _saying("Decoding encrypted object failed"):
                stored = self._stored(sealed)
            tracing.event("Decoded encrypted object")
            unsealed = self._key_of(stored)
            self.counts.used(stored.key_id, FROM_STORAGE)
            tracing.event("About to decrypt data using DEK")
            with _saying("Data decryption failed"):
                opened = unsealed.open(key, stored.encrypted_data)
            tracing.event("Data decryption succeeded")
            return opened

    def mark(self, sealed: bytes | None = None) -> object:
        """Return with what a value is sealed: another id of the plugin's key is another mark."""
        if sealed is not None:
            stored = self._stored(sealed)
            return (self.prefix, stored.key_id, stored.encrypted_dek_source_type)
        return (self.prefix, self._state.source.key_id if self._state is not None else "", _SEED)

    def _stored(self, sealed: bytes) -> Any:
        stored = message("EncryptedObject")()
        try:
            stored.ParseFromString(sealed[len(self.prefix) :])
        except DecodeError as error:
            raise Unreadable(f"proto: cannot parse the stored data: {error}") from None
        if stored.encrypted_dek_source_type not in (_GCM_KEY, _SEED):
            raise Unreadable(f"unknown encryptedDEKSourceType: {stored.encrypted_dek_source_type}")
        fault = "encrypted data is empty" if not stored.encrypted_data else ""
        source = Encrypted(stored.encrypted_dek_source, stored.key_id, stored.annotations)
        if fault := fault or _source_fault(source):
            raise Unreadable(fault)
        return stored

    def _key_of(self, stored: Any) -> Seed | PlainKey:
        kind, annotations = stored.encrypted_dek_source_type, dict(stored.annotations)
        source: _Source = (
            kind, stored.encrypted_dek_source, stored.key_id, tuple(sorted(annotations.items())),
        )  # fmt: skip
        found = self._known.get(source)
        if found is not None:
            return found
        now = self._clock.monotonic()
        failed = self._failed.get(source)
        if failed is not None and now < failed[0]:
            raise Unreadable(failed[1])
        tracing.event("About to decrypt DEK using remote service")
        try:
            with self.counts.timing("Decrypt"), _saying("DEK decryption failed"):
                wanted = Encrypted(stored.encrypted_dek_source, stored.key_id, annotations)
                key = self._service.decrypt(wanted)
            tracing.event("DEK decryption succeeded")
            made = Seed(key) if kind == _SEED else PlainKey(key)
        except (KmsFailed, ValueError) as error:
            text = f"failed to decrypt DEK, error: {error}"
            if len(self._failed) >= _SEEDS_MAX:
                self._failed.clear()
            self._failed[source] = (now + _AGAIN_S, text)
            raise Unreadable(text) from None
        self._remember(source, made)
        return made

    def _remember(self, source: _Source, key: Seed | PlainKey) -> None:
        self._failed.pop(source, None)
        self._known[source] = key
        if len(self._known) > _SEEDS_MAX:
            self._known.popitem(last=False)
        self.counts.cached = len(self._known)

    # -- the plugin

    def poll(self) -> bool:
        """Ask how the plugin is, and take a new seed where its key has changed. Tell whether all is well."""
        began = self._clock.now()
        try:
            with self.counts.timing("Status"):
                status = self._service.status()
        except KmsFailed as error:
            self.fault = (
                "failed to perform status section of the healthz check for KMS Provider "
                f"{self.name}, error: {error}"
            )
            return False
        self.fault = self._status_fault(status)
        if fault := _key_id_fault(status.key_id):
            self.counts.invalid_key_id(fault)
        else:
            self.counts.told(status.key_id)
            self.fault = self._rotate(status.key_id, began + _WRITES_FOR) or self.fault
        return self.fault is None

    def _status_fault(self, status: Status) -> str | None:
        faults = []
        if status.healthz != "ok":
            faults.append(f"got unexpected healthz status: {status.healthz}")
        if status.version not in _VERSIONS:
            faults.append(f"expected KMSv2 API version v2, got {status.version}")
        if fault := _key_id_fault(status.key_id):
            faults.append(f'got invalid KMSv2 KeyID hash "{_hash(status.key_id)}": {fault}')
        if not faults:
            return None
        shown = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        return f"kmsv2 Provider {self.name} is not healthy, error: {shown}"

    def _rotate(self, key_id: str, until: datetime) -> str | None:
        """Make sure that writes use a seed under the plugin's present key; return what kept it from that."""
        state = self._state
        if state is not None and state.source.key_id == key_id:
            self._state = replace(state, until=until)
            return None
        seed = os.urandom(_BYTES)
        try:
            with self.counts.timing("Encrypt"):
                source = self._service.encrypt(seed)
        except KmsFailed as error:
            return f"failed to rotate DEK: failed to encrypt DEK, error: {error}"
        if fault := _source_fault(source):
            return f"failed to rotate DEK: {fault}"
        made = Seed(seed)
        annotations = tuple(sorted(source.annotations.items()))
        self._remember((_SEED, source.ciphertext, source.key_id, annotations), made)
        self._state = _State(made, source, until)
        return None

    def close(self) -> None:
        """Idempotent."""
        self._service.close()


@contextmanager
def _saying(failed: str) -> Iterator[None]:
    """Tell the present span what failed, should it."""
    try:
        yield
    except (Unreadable, KmsFailed) as error:
        tracing.event(failed)
        within = tracing.current()
        if within is not None:
            within.record(error)
        raise


def _key_id_fault(key_id: str) -> str:
    if not key_id:
        return "keyID is empty"
    size = len(key_id.encode())
    if size > _KEY_ID_MAX:
        return f"keyID is {size} bytes, which exceeds the max size of {_KEY_ID_MAX}"
    return ""


def _source_fault(source: Encrypted) -> str:
    """Return what is wrong with what a plugin made, or with what was stored of it."""
    size, what = len(source.ciphertext), "failed to validate encrypted DEK source: encrypted DEK source"
    if not size:
        return f"{what} is empty"
    if size > _SOURCE_MAX:
        return f"{what} is {size} bytes, which exceeds the max size of {_SOURCE_MAX}"
    if fault := _key_id_fault(source.key_id):
        return f"failed to validate key id: {fault}"
    if fault := _annotations_fault(source.annotations):
        return f"failed to validate annotations: {fault}"
    return ""


def _annotations_fault(annotations: Mapping[str, bytes]) -> str:
    total = 0
    for key, value in annotations.items():
        # A name like a host's, with a dot in it.
        if is_dns1123_subdomain(key) or not re.search(r"[^.]\.[^.]", key):
            rule = "should be a domain with at least two segments separated by dots"
            return f'annotations: Invalid value: "{key}": {rule}'
        total += len(key.encode()) + len(value)
    if total > _ANNOTATIONS_MAX:
        return f"total size of annotations is {total}, which exceeds the max size of {_ANNOTATIONS_MAX}"
    return ""


def _hash(key_id: str) -> str:
    return f"sha256:{hashlib.sha256(key_id.encode()).hexdigest()}" if key_id else ""


@dataclass
class KmsPool:
    """Every plugin that a configuration names; one that stays the same over a reload keeps its seed."""

    make: Callable[[KmsSettings], Kms] = Kms.of
    _made: dict[KmsSettings, Kms] = field(default_factory=dict)
    _named: list[KmsSettings] = field(default_factory=list)

    def provider(self, settings: KmsSettings) -> Kms:
        """Return the provider of a plugin."""
        if settings not in self._made:
            self._made[settings] = self.make(settings)
        if settings not in self._named:
            self._named.append(settings)
        return self._made[settings]

    def named(self) -> tuple[KmsSettings, ...]:
        """Return the plugins that were asked for since this was last called, in order."""
        found, self._named = tuple(self._named), []
        return found

    def keep(self, *named: Collection[KmsSettings]) -> None:
        """Forget all plugins but these."""
        kept = {settings for one in named for settings in one}
        for settings in [one for one in self._made if one not in kept]:
            self._made.pop(settings).close()

    def __bool__(self) -> bool:
        return bool(self._made)

    def poll(self) -> bool:
        """Ask every plugin. Blocks. Tell whether all are well."""
        well = [kms.poll() for kms in list(self._made.values())]
        return all(well)

    def fault(self, named: Iterable[KmsSettings] | None = None) -> str | None:
        """Return what is wrong with any of these plugins (all, if none are said), each with its number."""
        asked = [self._made[one] for one in named if one in self._made] if named is not None else []
        faults = [
            f"kms-provider-{at}: {kms.fault}"
            for at, kms in enumerate(asked if named is not None else self._made.values())
            if kms.fault
        ]
        if len(faults) < 2:
            return faults[0] if faults else None
        return f"[{', '.join(faults)}]"

    def close(self) -> None:
        """Idempotent."""
        for kms in self._made.values():
            kms.close()

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of calls, keys and seeds."""
        by_name = {kms.name: kms.counts for kms in self._made.values()}  # one may be about to replace another
        return collect(list(by_name.values()))
