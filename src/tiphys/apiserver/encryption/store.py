"""``EncryptedStore``: any ``Store`` whose values are sealed on the way in and opened on the way out.

The watch cache above it sees plain bytes only, and bytes that this process has just sealed are not opened
again. A value that nothing opens passes as it is: the cache refuses it when somebody reads it, so that one
damaged Secret does not hide the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tiphys.apimachinery import tracing
from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import InternalError, qualified
from tiphys.apimachinery.families import Metric
from tiphys.apis.table import TABLE
from tiphys.apiserver.encryption import config
from tiphys.apiserver.encryption.kms import KmsPool, KmsSettings
from tiphys.apiserver.encryption.providers import (
    ENCRYPTED,
    SEALED,
    SEALING_FAILED,
    Identity,
    Provider,
    Providers,
    Unreadable,
)
from tiphys.apiserver.encryption.transformations import FROM_STORAGE, TO_STORAGE, Transformations
from tiphys.apiserver.reloading import Reloads
from tiphys.storage.base import CompareFailed, Delete, Event, Put, RangeResult, Record, Store

log = logging.getLogger(__name__)
_ROOT = "/registry/"
_PLAIN = Providers((Identity(),))
_UNOPENED: Final = ENCRYPTED + b"\0"
"""Before a value that nothing opens though it is not sealed: it may not pass for one that was opened."""
_POLL_S: Final = 60.0
_POLL_ILL_S: Final = 10.0


class EncryptedStore:
    """Seals by the rules of a configuration, which may be replaced while serving."""

    def __init__(
        self,
        store: Store,
        rules: config.Rules,
        path: Path | None = None,
        plugins: KmsPool | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._plugins = plugins if plugins is not None else KmsPool()
        self._named = self._plugins.named()
        self._next: tuple[config.Rules, tuple[KmsSettings, ...]] | None = None
        """Rules that wait for their plugins to answer, and those plugins."""
        self._path = path
        self._read = path.read_bytes() if path is not None else b""
        self._reloads = Reloads("encryption", clock or RealClock())
        self._reloads.began(self._read)
        self._prefixes = TABLE.kinds_by_prefix()
        self._by_prefix: dict[str, tuple[Providers, str]] = {}
        """What seals the values under a prefix, and of which resource they are."""
        self._transformations = Transformations()
        self._monotonic = (clock or RealClock()).monotonic
        self._sent: dict[bytes, bytes] = {}
        """Sealed -> plain, while a commit is under way."""
        self._sealed_by: dict[str, object] = {}
        """By key: the mark of what the live value is sealed with. Only of resources that rules cover."""
        self._show()

    def _show(self) -> None:
        """Have what the store below has besides the protocol."""
        if hasattr(self._store, "subscribe"):
            self.subscribe = self._subscribe
        if hasattr(self._store, "history"):
            self.history = self._history

    def beside(self, store: Store) -> Store:
        """Return what seals another store by these very rules, also once others hold."""
        return _Beside(self, store)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def revision(self) -> int:
        """The newest revision known to be committed."""
        return self._store.revision

    @property
    def compacted(self) -> int:
        """The revision before which history is gone."""
        return self._store.compacted

    async def open(self) -> None:
        """Open the store below. Raises StoreUnavailable."""
        await self._poll()
        await self._store.open()

    async def close(self) -> None:
        """Close the store below and the connections to plugins. Idempotent."""
        await self._store.close()
        self._plugins.close()

    async def run(self) -> None:
        """Ask the plugins from time to time, more often while one is not well; until cancelled."""
        waited_s = 0.0
        while True:
            await asyncio.sleep(_POLL_ILL_S)
            waited_s += _POLL_ILL_S
            if self._plugins.fault() is not None or waited_s >= _POLL_S:
                waited_s = 0.0
                await self._poll()

    async def _poll(self) -> None:
        if self._plugins:
            await asyncio.to_thread(self._plugins.poll)
            if self._next is not None and not self._plugins.fault(self._next[1]):
                self._take_over(*self._next)
            fault = self._plugins.fault()
            if fault:
                log.error("a KMS plugin is not well why=%s", fault)

    @property
    def asks_plugins(self) -> bool:
        """Whether the rules name plugins of key management."""
        return bool(self._named)

    def fault(self) -> str | None:
        """Return what keeps values from being sealed or opened, as health checks tell it."""
        return self._plugins.fault(self._named)

    def collect(self) -> Iterator[Metric]:
        """Yield how often the configuration was taken over, and plugins were called."""
        yield from self._reloads.collect()
        yield from self._plugins.collect()
        yield from self._transformations.collect()

    # -- rules

    def reload(self) -> bool:
        """Take over a changed file; tell whether other rules hold now. A faulty one changes nothing."""
        if self._path is None:
            return False
        try:
            read = self._path.read_bytes()
            if read == self._read:
                return False
            rules = config.parse(read.decode(), self._plugins.provider, str(self._path))
        except (OSError, ValueError) as error:
            self._reloads.failed()
            self._plugins.named()
            log.error("encryption configuration not reloaded path=%s why=%s", self._path, error)
            return False
        self._read, named = read, self._plugins.named()
        self._plugins.keep(self._named, named)
        if self._plugins.fault(named):  # not before the plugins that it names have answered
            self._next = rules, named
            return False
        self._take_over(rules, named)
        return True

    def _take_over(self, rules: config.Rules, named: tuple[KmsSettings, ...]) -> None:
        self._rules, self._named, self._next = rules, named, None
        self._plugins.keep(named)
        self._by_prefix.clear()
        self._reloads.succeeded(self._read)
        log.info("encryption configuration reloaded path=%s", self._path)

    def _providers(self, key: str) -> Providers:
        return self._rule(key)[0]

    def _rule(self, key: str) -> tuple[Providers, str]:
        """Return what seals a value, and of which resource that is."""
        at = key.find("/", len(_ROOT))
        prefix = key[: at + 1]
        found = self._by_prefix.get(prefix)
        if found is None and prefix not in self._prefixes:
            prefix = key[: key.find("/", at + 1) + 1]
            found = self._by_prefix.get(prefix)
        if found is None:
            group, plural = self._prefixes.get(prefix) or _custom(prefix)
            providers = self._rules.providers_for(group, plural) or _PLAIN
            found = self._by_prefix[prefix] = providers, qualified(plural, group)
        return found

    def is_stale(self, key: str) -> bool:
        """Tell whether the live value would be sealed otherwise today: writing it again is worth it."""
        sealed_by = self._sealed_by.get(key)
        return sealed_by is not None and sealed_by != self._providers(key).writer.mark()

    def unseal(self, key: str, value: bytes) -> bytes:
        """Open one value. Raises Unreadable."""
        providers, resource = self._rule(key)
        return self._open(providers, resource, key, value.removeprefix(_UNOPENED))[0]

    def _open(self, providers: Providers, resource: str, key: str, value: bytes) -> tuple[bytes, Provider]:
        """Open one value, and count it. Raises Unreadable."""
        began = self._monotonic()
        try:
            plain, provider = providers.open(key, value)
        except Unreadable:
            self._transformations.failed(resource, FROM_STORAGE, providers.family_of(value))
            raise
        self._transformations.done(resource, FROM_STORAGE, provider.family, self._monotonic() - began)
        return plain, provider

    # -- reading

    async def get(self, key: str, *, revision: int = 0) -> Record | None:
        """Read a key. Raises Compacted, FutureRevision."""
        record = await self._store.get(key, revision=revision)
        return None if record is None else self._opened(record, live=not revision)

    async def revisions(self, prefix: str, revision: int) -> list[tuple[str, int]]:
        return await self._store.revisions(prefix, revision)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        """Read keys in order. Raises Compacted, FutureRevision."""
        found = await self._store.range(prefix, start=start, limit=limit, revision=revision)
        return replace(found, records=[self._opened(record, live=not revision) for record in found.records])

    def _opened(self, record: Record, *, live: bool = False) -> Record:
        key = record.key
        providers, resource = self._rule(key)
        if providers is _PLAIN:
            return record
        plain = self._sent.get(record.value)
        if plain is not None:
            provider: Provider = providers.writer
        else:
            try:
                plain, provider = self._open(providers, resource, key, record.value)
            except Unreadable as error:
                log.error("stored value unreadable key=%s why=%s", key, error)
                value = record.value
                return record if value.startswith(ENCRYPTED) else record._replace(value=_UNOPENED + value)
        if live:
            self._sealed_by[key] = provider.mark(record.value)
        return record if plain is record.value else record._replace(value=plain)

    def _events(self, events: list[Event], *, live: bool = False) -> list[Event]:
        return [self._event(event, live=live) for event in events]

    def _event(self, event: Event, *, live: bool) -> Event:
        if self._providers(event.record.key) is _PLAIN:
            return event
        previous = event.previous
        opened = event._replace(
            record=self._opened(event.record, live=live),
            previous=self._opened(previous) if previous is not None else None,
        )
        if live and event.deleted:
            self._sealed_by.pop(event.record.key, None)
        return opened

    def _subscribe(self, subscriber: Callable[[list[Event]], None], *lost: Callable[[], None]) -> Any:
        store: Any = self._store
        return store.subscribe(lambda events: subscriber(self._events(events, live=True)), *lost)

    async def _history(self, prefix: str, first: int, last: int, limit: int = 1 << 62) -> list[Event]:
        store: Any = self._store
        return self._events(await store.history(prefix, first, last, limit))

    @asynccontextmanager
    async def watch(
        self, prefix: str, *, start_revision: int = 0
    ) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """Stream events, opened. Raises Compacted on entering."""
        async with self._store.watch(prefix, start_revision=start_revision) as stream:
            yield self._stream(stream)

    async def _stream(self, stream: AsyncIterator[list[Event]]) -> AsyncIterator[list[Event]]:
        async for events in stream:
            yield self._events(events, live=True)

    # -- writing

    async def commit(self, writes: Sequence[Put | Delete]) -> int:
        """Seal and write. Raises CompareFailed, StoreUnavailable."""
        sent: list[bytes] = []
        sealed = [self._sealed(write, sent) for write in writes]
        try:
            return await self._store.commit(sealed)
        except CompareFailed as error:
            current = error.current
            raise CompareFailed(error.key, self._opened(current) if current is not None else None) from error
        finally:
            for value in sent:
                self._sent.pop(value, None)

    def _sealed(self, write: Put | Delete, sent: list[bytes]) -> Put | Delete:
        if isinstance(write, Delete):
            return write
        providers, resource = self._rule(write.key)
        if providers is _PLAIN:
            tracing.event(SEALED)
            return write
        began = self._monotonic()
        try:
            value = providers.seal(write.key, write.value)
        except InternalError as error:
            self._transformations.failed(resource, TO_STORAGE, providers.writer.family)
            tracing.event(SEALING_FAILED, {"err": error.message})
            raise
        self._transformations.done(resource, TO_STORAGE, providers.writer.family, self._monotonic() - began)
        tracing.event(SEALED)
        if value is write.value:
            return write
        self._sent[value] = write.value
        sent.append(value)
        return write._replace(value=value)

    async def compact(self, revision: int) -> None:
        """Forget old versions."""
        await self._store.compact(revision)

    async def grant_lease(self, ttl_s: int) -> int:
        """Return a lease of the store below."""
        return await self._store.grant_lease(ttl_s)


class _Beside(EncryptedStore):
    """Seals a further store by the rules of a first one, to which file and plugins belong."""

    def __init__(self, first: EncryptedStore, store: Store) -> None:
        self._store = store
        self._rule = first._rule  # type: ignore[method-assign]
        self._transformations, self._monotonic = first._transformations, first._monotonic
        self._sent = {}
        self._sealed_by = {}
        self._show()

    async def open(self) -> None:
        """Open the store below. Raises StoreUnavailable."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store below. Idempotent."""
        await self._store.close()


def _custom(prefix: str) -> tuple[str, str]:
    """Return (group, plural) of a custom resource's prefix, ``/registry/<group>/<plural>/``."""
    group, _, plural = prefix[len(_ROOT) :].strip("/").partition("/")
    return group, plural
