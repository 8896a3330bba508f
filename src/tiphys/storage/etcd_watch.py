"""Following an etcd cluster: every event of its key space, in order, whole revisions, none missing.

Owns: the watch stream, its fragments, taking it up again where it broke, at another member if need be;
noticing that the cluster has less than was seen of it (it was emptied, or restored from an older snapshot).
Refuses: handing events to anybody; that is ``storage.feed``. Called by ``storage.etcd``.

The whole key space is watched although only one root is asked for: each revision has an event, so a hole
shows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import grpc.aio

from tiphys.storage import etcd_wire as wire
from tiphys.storage.base import Compacted, FutureRevision, StoreUnavailable
from tiphys.storage.etcd_client import EtcdClient, History

log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.1
_CREATE_S: Final = 5.0

Batch = tuple[int, list[Any]]
"""Up to which revision the events go, and the events."""


class WentBack(Compacted):
    """The cluster was emptied, or an older state of it restored: what was yielded counts no more."""


async def batches(client: EtcdClient, first: int, before: Any = None) -> AsyncGenerator[Batch, None]:
    """Yield events from revision ``first`` on, for ever; a lost connection is taken up again.

    ``before``: the last event that the caller knows, where there is one.

    Raises:
        Compacted: events are gone that were not yielded yet.
        WentBack: so is what was yielded, or what the caller knows.
        StoreUnavailable: the client has been closed.
    """
    failed = False
    while True:
        try:
            async with aclosing(_one_stream(client, first, before)) as stream:
                async for last, events in stream:
                    if failed:
                        log.info("etcd watch continues revision=%d", first)
                        failed = False
                    yield last, events
                    first, before = last + 1, events[-1]
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError, StoreUnavailable) as error:
            if client.is_closed:
                raise StoreUnavailable("the store is closed") from error
            if not failed:
                log.warning("etcd watch broke revision=%d: %s", first, _text(error))
                failed = True
        client.rotate()
        await asyncio.sleep(_PAUSE_S)


async def _one_stream(client: EtcdClient, first: int, before: Any) -> AsyncGenerator[Batch, None]:
    call = await client.watch(wire.watch_all(first))
    try:
        async with asyncio.timeout(_CREATE_S):
            response = await _read(call)
        if response is not None and (before is not None or response.header.revision < first - 1):
            await _check_still_there(client, first - 1, before)
        unchecked = response is not None and 1 < first <= response.header.revision
        events: list[Any] = []
        while response is not None:
            if response.compact_revision:
                raise Compacted(response.compact_revision)
            if response.canceled:
                log.warning("etcd cancelled a watch revision=%d: %s", first, response.cancel_reason)
                return
            events.extend(event for event in response.events if event.kv.mod_revision >= first)
            if events and not response.fragment:
                if events[0].kv.mod_revision != first:
                    raise Compacted(events[0].kv.mod_revision - 1)
                if unchecked:
                    await _check_whole(client, first)
                    unchecked = False
                await complete(client, events)
                last = events[-1].kv.mod_revision
                yield last, events
                first, events = last + 1, []
            response = await _read(call)
    finally:
        call.cancel()


async def _check_whole(client: EtcdClient, first: int) -> None:
    """Make sure that ``first`` itself has not been compacted: that keeps its puts and drops its deletes."""
    before = wire.request(wire.RANGE, key=b"\0", count_only=True, revision=first - 1)
    try:
        await client.call(wire.RANGE, before)
    except History as error:
        raise Compacted(first) from error


async def _check_still_there(client: EtcdClient, seen: int, event: Any) -> None:
    """Make sure that the cluster, not one member that may be late, still has what was seen last.

    Raises WentBack.
    """
    key = event.kv.key if event is not None else b"\0"
    try:
        found = await client.call(wire.RANGE, wire.request(wire.RANGE, key=key, revision=seen))
    except History:
        return  # the watch says so itself
    except FutureRevision:
        found = None
    if found is None or (event is not None and not _shows(found.kvs, event)):
        log.error("etcd was emptied, or an older state of it restored seen=%d", seen)
        raise WentBack(seen)


def _shows(kvs: Any, event: Any) -> bool:
    """Tell whether a key is as an event left it."""
    if event.type == wire.DELETED:
        return not kvs
    return bool(kvs) and kvs[0].mod_revision == event.kv.mod_revision and kvs[0].value == event.kv.value


async def complete(client: EtcdClient, events: list[Any]) -> None:
    """Ask for what was before an event, where that is not told: without it a deletion would be none.

    etcd notes a moment after a watch has begun that this is wanted, and passes over what it cannot read.

    Raises:
        Compacted: it is gone.
    """
    for event in events:
        kv = event.kv
        if kv.create_revision == kv.mod_revision or event.HasField("prev_kv"):
            continue
        before = wire.request(wire.RANGE, key=kv.key, revision=kv.mod_revision - 1)
        try:
            found = await client.call(wire.RANGE, before)
        except History as error:
            raise Compacted(kv.mod_revision) from error
        if found.kvs:
            event.prev_kv.CopyFrom(found.kvs[0])


async def _read(call: Any) -> Any:
    """Return the next response; None when the stream has ended."""
    response = await call.read()
    return None if response is grpc.aio.EOF else response  # type: ignore[attr-defined]


async def compacted_at(client: EtcdClient) -> int:
    """Ask up to which revision history has been compacted; 0 if it is whole or nobody answers in time."""
    try:
        async with asyncio.timeout(_CREATE_S), aclosing(batches(client, 1)) as stream:
            async for _ in stream:
                break
    except Compacted as error:
        return error.oldest
    except (TimeoutError, StoreUnavailable):
        pass
    return 0


def _text(error: BaseException) -> str:
    return (error.details() or str(error.code())) if isinstance(error, grpc.aio.AioRpcError) else repr(error)
