"""Watching a collection, or one object of it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence

import orjson

from tiphys.apimachinery import go_json
from tiphys.apimachinery.errors import BadRequest, StatusError
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.negotiation import JSON, PROTOBUF, Format
from tiphys.apiserver.endpoints.params import ListOptions, list_options
from tiphys.apiserver.flowcontrol.watches import watched
from tiphys.apiserver.observe.durations import Durations
from tiphys.apiserver.observe.metrics import CODE_OF_UPGRADES, LongRunning, labels_of
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.objects import Change
from tiphys.apiserver.registry.selection import select_aside
from tiphys.apiserver.registry.shards import narrowed
from tiphys.wire.message import ByteStream, Response
from tiphys.wire.outlet import Outlet, Writer
from tiphys.wire.relay import first_of
from tiphys.wire.websocket import (
    WebSocket,
    accept_headers,
    is_websocket,
    offered_protocols,
    refused_handshake,
)

_LENGTH_BYTES = 4
"""Before each event in protobuf, where messages do not say themselves how long they are."""
_WRITE_BYTES = 256 * 1024
"""About as many bytes of events are joined for one write."""
_INITIAL_END = "k8s.io/initial-events-end"


async def handle(call: Call) -> Response:
    """Stream the changes that the selection sees, until the time is up or the client goes."""
    options = list_options(call)
    streamed_list = bool(options.send_initial_events and options.bookmarks)
    form = respond.call_format(call, watch=True, tables=not streamed_list)
    respond.check_form(call, form, is_list=False)
    resource = call.resource
    selection = await select_aside(
        resource, call.namespace, call.info.name, options.label_selector, options.field_selector
    )
    if options.shard:
        selection = narrowed(selection, options.shard)
    version = options.resource_version
    if version and not (version.isascii() and version.isdigit()):
        raise BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{version}": '
            f'strconv.ParseUint: parsing "{version}": invalid syntax'
        )
    raw = form.plain_json and resource.storage == resource.gvk
    counted = call.backend.metrics.long_running(call.info)
    running = _Running(call, counted)
    encoder = None if raw else _Encoder(call, form)
    stream, lasts_s = WatchStream(counted, encoder), _timeout_s(call, options)
    changes = call.backend.store.watch(
        resource,
        selection,
        resource_version=version,
        send_initial_events=options.send_initial_events,
        bookmarks=options.bookmarks,
        lasts_s=lasts_s,
        outlet=stream,
    )
    content_type = f"{PROTOBUF};stream=watch" if form.media_type == PROTOBUF else JSON
    if refusal := refused_handshake(call.request):
        return refusal
    if is_websocket(call.request):
        events = _stream(changes, encoder, lasts_s, running, joined=False)
        return _over_websocket(call, events, text=form.media_type != PROTOBUF)
    listed = call.backend.metrics.watch_list(call.info) if streamed_list else None
    stream.chunks = _stream(changes, encoder, lasts_s, running, listed=listed)
    return Response(200, respond.headers_of(call.warnings, content_type), stream=stream)


def _timeout_s(call: Call, options: ListOptions) -> float:
    if options.timeout_s:
        return options.timeout_s
    return call.backend.options.min_watch_timeout_s * (1 + random.random())


def _over_websocket(call: Call, events: AsyncGenerator[bytes, None], *, text: bool) -> Response:
    """Answer with a websocket of one message an event; what the client sends is ignored."""

    async def run(connection: ByteStream) -> None:
        socket = WebSocket(connection)

        async def outward() -> None:
            try:
                async for event in events:
                    await socket.send(event if text else event[_LENGTH_BYTES:], text=text)
                await socket.close()
            except ConnectionError:
                return
            finally:
                await events.aclose()

        await first_of(outward(), socket.ignore())

    protocol = next(iter(offered_protocols(call.request)), "")
    return Response(101, accept_headers(call.request, protocol), upgrade=run)


class WatchStream:
    """A watch's answer: chunks to read; and the outlet of its events while the reader waits for the next."""

    chunks: AsyncGenerator[bytes, None]
    anywhere = False

    def __init__(self, counted: LongRunning, encoder: _Encoder | None) -> None:
        self._counted = counted
        self._encoder = encoder
        self._outlet: Outlet | None = None
        self.form: Hashable = (counted, encoder.form if encoder is not None else None)

    def attach(self, outlet: Outlet) -> None:
        """Take the connection's own outlet."""
        self._outlet = outlet
        self.form = (self.form, outlet.framing)
        self.anywhere = outlet.anywhere

    def chunk(self, changes: Sequence[Change], watchers: int) -> bytes:
        """Encode and frame changes. Raises StatusError."""
        assert self._outlet is not None
        frames = _frames(changes, self._encoder)
        self._counted.sent(frames, watchers)
        return self._outlet.framed(b"".join(frames))

    def writer(self, gone: Callable[[], None]) -> Writer | None:
        """Return what sends such chunks at once, until ``gone`` is called; None: not now."""
        if self._outlet is None or (self._encoder is not None and not self._encoder.is_shared):
            return None
        return self._outlet.writer(gone)

    def rescue(self, chunk: bytes, error: Exception) -> bool:
        """Take over where the writer raised; False: the reader must take those events."""
        return self._outlet is not None and self._outlet.rescue(chunk, error)

    def count(self, events: int) -> None:
        """Count events that were written by outlets of this form."""
        self._counted.events += events

    def __aiter__(self) -> WatchStream:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self.chunks)

    async def aclose(self) -> None:
        """End the watch."""
        await self.chunks.aclose()


class _Running:
    """Where one watch is counted: while it runs, and once it has ended."""

    __slots__ = ("_kind", "_watch", "_watches", "counted")

    def __init__(self, call: Call, counted: LongRunning) -> None:
        self.counted = counted
        self._kind = call.backend.metrics.kind(labels_of(call.info))
        self._watches, self._watch = call.backend.watches, watched(call.info)

    def began(self) -> None:
        self.counted.running += 1
        self._watches.register(self._watch)

    def ended(self, code: int, after_s: float) -> None:
        self.counted.running -= 1
        self._watches.forget(self._watch)
        self._kind.observe(code, after_s, -1)


async def _stream(
    changes: AsyncIterator[list[Change]],
    encoder: _Encoder | None,
    timeout_s: float,
    running: _Running,
    *,
    joined: bool = True,
    listed: Durations | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield frames until the time is up; without an ``encoder`` the shared ones. ``joined``: many at once.

    ``listed``: where it is noted how long it took until all was told that there was, up to the bookmark.
    """
    time = asyncio.get_running_loop().time
    began = time()
    deadline = began + timeout_s
    counted = running.counted
    running.began()
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    batch = await anext(changes)
            except (TimeoutError, StopAsyncIteration):
                return
            counted.events += len(batch)
            if listed is not None and batch[-1].type == "BOOKMARK":
                listed.observe(time() - began)
                listed = None
            untold = deque(batch)
            batch.clear()  # whoever passed it on has it still, and nothing in it
            while untold:
                frames = _next_frames(untold, encoder, _WRITE_BYTES if joined else 1)
                counted.sent(frames)
                chunk, frames = b"".join(frames), []
                yield chunk
            chunk = b""  # while it waits, a watch keeps nothing of what it told
    except StatusError as error:
        yield encoder.failure(error) if encoder is not None else _line("ERROR", error.to_status())
    finally:
        running.ended(200 if joined else CODE_OF_UPGRADES, time() - began)
        close = getattr(changes, "aclose", None)
        if close is not None:
            await close()


def _next_frames(untold: deque[Change], encoder: _Encoder | None, least_bytes: int) -> list[bytes]:
    """Take changes and frame them, until there are so many bytes.

    No more: a watch whose client reads slowly has its own copy of what it is being told, and of nothing else.
    """
    frames: list[bytes] = []
    size = 0
    while untold and size < least_bytes:
        change = untold.popleft()
        frame = change.frame if encoder is None else encoder.encode(change)
        frames.append(frame)
        size += len(frame)
    return frames


def _frames(changes: Sequence[Change], encoder: _Encoder | None) -> list[bytes]:
    if encoder is not None:
        return [encoder.encode(change) for change in changes]
    return [change.frame for change in changes]


class _Encoder:
    """Frames events of a watch that cannot take the stored bytes."""

    def __init__(self, call: Call, form: Format) -> None:
        self._call = call
        self._form = form
        self._columns_sent = False
        # A row by its id, as a custom kind may be defined anew; the call keeps it.
        self.form: Hashable = (form, id(call.resource), call.param("includeObject"))
        """Encoders of equal forms make the same of an event, once they are shared."""

    @property
    def is_shared(self) -> bool:
        """Whether nothing is left to send that only this watch needs: a table's columns."""
        return self._columns_sent or self._form.transform != "Table"

    def encode(self, change: Change) -> bytes:
        return self._frame(change.type, self._object(change))

    def failure(self, error: StatusError) -> bytes:
        return self._frame("ERROR", error.to_status())

    def _object(self, change: Change) -> Object:
        form = self._form
        if change.cached is None:
            return self._bookmark(change)
        obj = respond.shown_of(self._call, form, change.cached)
        if change.type == "DELETED" or str(change.revision) != obj["metadata"].get("resourceVersion"):
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(change.revision)}}
        if form.transform == "Table":
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            with_columns, self._columns_sent = not self._columns_sent, True
            return respond.table(self._call, form, [obj], meta, with_columns=with_columns)
        if form.transform:
            return respond.partial(obj, form.transform_version)
        return obj

    def _bookmark(self, change: Change) -> Object:
        resource, form = self._call.resource, self._form
        meta: Object = {"resourceVersion": str(change.revision)}
        if change.initial_end:
            meta["annotations"] = {_INITIAL_END: "true"}
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        if form.transform == "Table":
            obj = respond.table(self._call, form, [], meta, with_columns=False)
            obj["rows"] = [{"cells": [], "object": {
                "kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}}]  # fmt: skip
            return obj
        if form.transform:
            return respond.partial(obj, form.transform_version)
        return obj

    def _frame(self, type_: str, obj: Object) -> bytes:
        if self._form.media_type == PROTOBUF:
            return machinery.frame_protobuf(type_, obj)
        line = _line(type_, obj)
        return go_json.written(line) if self._call.resource.has_fractions else line


def _line(type_: str, obj: Object) -> bytes:
    return without_markup(orjson.dumps({"type": type_, "object": obj})) + b"\n"
