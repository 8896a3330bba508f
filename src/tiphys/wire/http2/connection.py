"""One client connection of HTTP/2: each stream is a request to the handler; answers overtake each other.

Owns the transport's side, handlers and their tasks, and the end (``receiver`` and ``sender`` own the two
directions). Knows nothing of paths or objects. ``wire.server`` makes one for a client that chose ``h2``.

A request is stepped by hand where its last frame arrives; one that waits goes on in a task of its own
(``stepping.Runner``), of which an idle connection keeps at most one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from tiphys.apimachinery.errors import BadRequest
from tiphys.wire import http1
from tiphys.wire.arrival import HELD_S
from tiphys.wire.connection import BODILESS, LINGER_S, close_stream, failure
from tiphys.wire.http2 import answers, frames
from tiphys.wire.http2.errors import ConnectionFault, ErrorCode
from tiphys.wire.http2.heads import Head
from tiphys.wire.http2.outlet import StreamOutlet
from tiphys.wire.http2.receiver import Receiver
from tiphys.wire.http2.sender import Sender, whole
from tiphys.wire.http2.stream import Stream
from tiphys.wire.measured import Measured
from tiphys.wire.message import Request, Response
from tiphys.wire.stalled import Stalling
from tiphys.wire.stepping import Runner, resume

log = logging.getLogger(__name__)
MAX_UNREAD_FRAMES: Final = 1000
"""Of what a client makes us say, while it reads nothing."""
WAITING_TIMES: Final = 4
"""So many times the streams there may be can wait for a handler: of those that were reset it still runs."""
BATCH_BYTES: Final = 64 * 1024
_NO_UPGRADE: Final = "unable to upgrade: missing upgrade headers in request"


class Http2Connection(Receiver, Stalling, asyncio.BufferedProtocol):
    """A server connection of HTTP/2."""

    def __init__(self, owner: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, Sender(self))
        self._loop = loop
        self._lost = False
        self._ending = False
        self._batch: list[bytes] | None = None
        self._batch_bytes = 0
        self._unread = 0
        self._still_sending = False  # a client that was answered before its body had come
        self._lingering: asyncio.TimerHandle | None = None
        # How long nothing has been taken.
        self._paused_tick = 0.0
        self._unsent = 0
        # Handlers that wait, and a task for the next that may.
        self._spare: Runner | None = None
        self._running: dict[Runner, Stream] = {}
        self._queue: deque[Stream] = deque()
        self._gone: asyncio.Future[None] = loop.create_future()

    @property
    def tick(self) -> float:
        """The server's time, in seconds."""
        return cast(float, self._owner.tick)

    # -- transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        named = isinstance(peer, tuple) and peer
        self._peer, self._peer_port = (str(peer[0]), int(peer[1])) if named else ("", 0)
        tls = transport.get_extra_info("ssl_object")
        self._certificates = self._owner.peers.shown(tls) if tls is not None else ()
        self._owner.connections.add(self)
        self._owner.timed.add(self)
        self._owner.http2_connections += 1
        self.write(self.first_words())
        if tls is not None and not _is_adequate(tls.cipher()):
            self._fail(ConnectionFault(ErrorCode.INADEQUATE_SECURITY, "prohibited TLS 1.2 cipher suite"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._failed = True
        if not self._gone.done():
            self._gone.set_result(None)
        self._owner.connections.discard(self)
        self._owner.timed.discard(self)
        self._queue.clear()
        for stream in list(self.streams.values()):
            self._close(stream)
        if self._spare is not None:
            self._spare.task.cancel()
        self._sender.end()

    def pause_writing(self) -> None:
        self._sender.paused = True
        self._paused_tick = self.tick

    def resume_writing(self) -> None:
        self._unread = 0
        self._sender.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        return cast(memoryview, self._owner.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self._batch = []
        try:
            self.receive(bytes(self._owner.buffer[:nbytes]))
        except ConnectionFault as fault:
            self._fail(fault)
        finally:
            self._flush()
            self._batch = None
        self._close_if_done()

    # -- writing

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport: what one read causes is one write."""
        if self._batch is None:
            self._transport.write(data)
            return
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch = self._batch
        if batch:
            self._transport.write(batch[0] if len(batch) == 1 else b"".join(batch))
            self._batch, self._batch_bytes = [], 0

    def _control(self, data: bytes) -> None:
        self.write(data)
        if self._sender.paused:
            self._unread += 1
            if self._unread > MAX_UNREAD_FRAMES:
                self.abort()

    def soon(self, call: Callable[[], None]) -> None:
        self._loop.call_soon(call)

    def _fail(self, fault: ConnectionFault) -> None:
        """End the connection for what the client did."""
        if self._failed:
            return
        log.debug("connection failed peer=%s error=%s", self._peer, fault)
        self._failed = True
        self.write(frames.go_away(self._last_id, fault.code, fault.text))
        self._flush()
        for stream in list(self.streams.values()):
            self._close(stream)
        self._transport.close()

    # -- streams

    def stream_sent(self, stream: Stream) -> None:
        if stream.closed:
            return
        if stream.received:
            self._forget(stream)
        else:
            self._still_sending = True
            self._reset(stream.id, ErrorCode.NO_ERROR)  # enough: the answer does not wait for the rest

    def _close(self, stream: Stream) -> None:
        """Let go of a stream; what it is told for long ends, a request that is at work goes on for nobody."""
        streaming = stream.streaming
        self._forget(stream)
        if streaming and not stream.ending:
            stream.runner.task.cancel()

    def _forget(self, stream: Stream) -> None:
        if stream.closed:
            return
        stream.closed = True
        self._active_tick = self.tick
        self.streams.pop(stream.id, None)
        self._let_go_of(stream)
        if stream.arrival is not None:
            stream.arrival.fail(BadRequest("unexpected EOF"))
        self._sender.drop(stream)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._leaving or self.streams or self._batch is not None or self._transport.is_closing():
            return
        if not self._still_sending:
            self._transport.close()
        elif self._lingering is None:  # what it sends to a closed socket would take its answer away
            self._lingering = self._loop.call_later(LINGER_S, self._transport.close)

    # -- serving

    def _answer_at_once(self, stream_id: int, head: Head) -> bool:
        """Write the answer to a request where the handler has it ready."""
        owner, sender = self._owner, self._sender
        if owner.at_once is None or sender.paused or self._ending:
            return False
        found = owner.at_once(head.headers.memo, head.line)
        if found is None:
            return False
        known, value, body = found
        size = len(body)
        block = b"%b%b%b%b%b" % (
            self._notice(), known.http2, answers.last_value(value), answers.length(size), _date(owner.date),
        )  # fmt: skip
        if size <= min(sender.window, sender.first_window, frames.LEAST_FRAME_BYTES):
            sender.window -= size
            self.write(whole(stream_id, block, body))
        else:
            stream = self._open(stream_id, head)
            stream.received = True
            sender.answer(stream, block, body)
        if owner.limits.goaway_chance:
            self._perhaps_retire()
        return True

    def _serve(self, stream: Stream) -> None:
        if len(self._running) < self._max_streams:
            self._step(stream)
        elif len(self._queue) < WAITING_TIMES * self._max_streams:
            self._queue.append(stream)
        else:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many requests that were reset")

    def _serve_queue(self) -> None:
        while self._queue and len(self._running) < self._max_streams:
            stream = self._queue.popleft()
            if not stream.closed:
                self._step(stream)

    def _request(self, stream: Stream) -> Request:
        method, path, raw_path, query = stream.head.line
        headers, arrival = stream.head.headers, stream.arrival
        body = self._let_go_of(stream) if arrival is None else b""
        request = Request(
            method, path, query, headers.fields, body, self._peer, self._certificates, raw_path,
            memo=headers.memo, protocol="HTTP/2.0", peer_port=self._peer_port,
        )  # fmt: skip
        if arrival is not None:
            request.receive = arrival.take
            request.scope[HELD_S] = self._owner.tick - stream.begun_tick
        return request

    def _step(self, stream: Stream) -> None:
        """Run the handler up to where it first waits."""
        request, runner = self._request(stream), self._free_runner()
        try:
            begun = runner.step(self._owner.handler(request))
        except StopIteration as stop:
            response = stop.value
        except (Exception, asyncio.CancelledError) as error:
            response = failure(error, request)
        else:
            self._hand(stream, self._finish(resume(*begun, runner.interrupts), stream, request))
            return
        self._respond(response, stream)

    def _respond(self, response: Response, stream: Stream) -> None:
        """Write a response that needs no waiting; leave any other to a task."""
        if response.stream is not None or response.upgrade is not None or response.written is not None:
            self._hand(stream, self._send(response, stream))
        else:
            self._write(response, stream)

    def _refuse(self, stream: Stream, response: Response) -> None:
        self._write(response, stream)

    def _write(self, response: Response, stream: Stream) -> None:
        if stream.closed:
            return
        body = response.body
        length = len(body) if isinstance(body, bytes) else sum(map(len, body))
        block = self._block_of(response, length)
        if stream.head.line[0] == "HEAD" or response.status in BODILESS:
            self._sender.head(stream, block, end=True)
        else:
            self._sender.answer(stream, block, body)
        self._after_head(response.headers)

    def _block_of(self, response: Response, length: int | None) -> bytes:
        block = self._notice() + answers.block(response.status, response.headers)
        if length is not None and response.status not in BODILESS:
            block += answers.length(length)
        return block + _date(self._owner.date)

    def _after_head(self, headers: Mapping[str, str]) -> None:
        if headers.get("connection") == "close":
            self.retire()
        elif self._owner.limits.goaway_chance:
            self._perhaps_retire()

    def _perhaps_retire(self) -> None:
        """Send a client away now and then: behind a balancer it finds another server."""
        if random.random() < self._owner.limits.goaway_chance:
            self.retire()

    # -- tasks: everything that waits

    def _free_runner(self) -> Runner:
        if self._spare is None:
            self._spare = Runner(self._loop, self._rest, self._ended)  # parent: Server, which ends it
        return self._spare

    def _hand(self, stream: Stream, work: Coroutine[Any, Any, None]) -> None:
        runner, self._spare = self._free_runner(), None
        self._running[runner] = stream
        stream.runner = runner
        runner.hand(work)

    async def _rest(self, runner: Runner) -> None:
        """Be ready for the next handler that waits, or end: one is enough."""
        self._running.pop(runner).runner = None
        if self._lost or self._spare is not None:
            runner.last = True
        else:
            self._spare = runner
        if self._queue:
            self._loop.call_soon(self._serve_queue)

    def _ended(self, runner: Runner) -> None:
        if self._spare is runner:
            self._spare = None
        stream = self._running.pop(runner, None)
        if stream is not None:
            stream.runner = None
            if not (stream.closed or self._lost):
                self._reset(stream.id, ErrorCode.INTERNAL_ERROR)

    async def _finish(self, handling: Any, stream: Stream, request: Request) -> None:
        task = asyncio.current_task()
        try:
            response = await handling
        except asyncio.CancelledError:
            if task is not None and task.cancelling():
                raise
            response = http1.internal_error()
        except Exception as error:
            response = failure(error, request)
        await self._send(response, stream)

    async def _send(self, response: Response, stream: Stream) -> None:
        if response.upgrade is not None:
            log.error("upgrade without the client asking path=%s", stream.head.line[1])
            self._write(http1.plain_response(400, _NO_UPGRADE), stream)
        elif response.stream is not None:
            await self._send_stream(response, response.stream, stream)
        elif response.written is not None:
            await self._send_body(response, response.written, stream)
        else:
            self._write(response, stream)

    async def _send_body(self, response: Response, written: Callable[[], object], stream: Stream) -> None:
        """Send what somebody is to be told of."""
        try:
            self._write(response, stream)
            if not stream.closed and (stream.queue or self._sender.paused):
                await self._sender.drain(stream)
        except ConnectionError:
            pass
        finally:
            written()

    async def _send_stream(self, response: Response, source: AsyncIterator[bytes], stream: Stream) -> None:
        sender, code = self._sender, ErrorCode.REFUSED_STREAM
        measured = None
        if response.length is not None:
            measured = source = Measured(source, response.length, stream.head.line[1])
        try:
            if stream.closed or self._ending:
                return
            code = ErrorCode.INTERNAL_ERROR
            head_only = stream.head.line[0] == "HEAD" or response.status in BODILESS
            sender.head(stream, self._block_of(response, response.length), end=head_only)
            self._after_head(response.headers)
            if head_only:
                return
            stream.streaming = True
            attach = getattr(source, "attach", None)
            if attach is not None:
                attach(StreamOutlet(sender, stream))
            async for chunk in source:
                if stream.closed:
                    return
                sender.data(stream, chunk)
                chunk = b""  # an idle stream keeps nothing of what it sent
                if stream.queue or sender.paused:
                    await sender.drain(stream)
            code = ErrorCode.NO_ERROR
        except asyncio.CancelledError:
            if not (stream.closed or stream.ending):
                raise
            cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
            if measured is None or measured.is_whole:
                code = ErrorCode.NO_ERROR
        except ConnectionError:
            pass
        except Exception:
            log.exception("stream failed path=%s", stream.head.line[1])
        finally:
            stream.streaming = False
            await close_stream(source)
            if not stream.closed:
                if code is ErrorCode.NO_ERROR:
                    sender.finish(stream)
                else:
                    self._reset(stream.id, code)  # the client must see that it was cut

    # -- the server's side

    @property
    def tasks(self) -> Sequence[asyncio.Future[None]]:
        """What this connection does, and that it is there: answers may be on their way when all is done."""
        spare = (self._spare.task,) if self._spare is not None else ()
        gone = () if self._gone.done() else (self._gone,)
        return (*(runner.task for runner in self._running), *spare, *gone)

    @property
    def endless(self) -> Sequence[_Endless]:
        """What is to be ended so that answers end that have no end of their own."""
        return [_Endless(self, stream) for stream in self.streams.values() if stream.streaming]

    def retire(self) -> None:
        """Take no more streams, and close when those that there are have ended."""
        if not (self._leaving or self._failed):
            self._leaving = True
            self.write(frames.go_away(self._last_id, ErrorCode.NO_ERROR))
            self._close_if_done()

    def end(self) -> None:
        """Stop gracefully: end what is streamed, let requests finish that have come whole."""
        self._ending = True
        self.retire()
        for stream in list(self.streams.values()):
            if stream.streaming:
                self.end_stream(stream)
            elif not stream.received:
                self._reset(stream.id, ErrorCode.REFUSED_STREAM)

    def end_stream(self, stream: Stream) -> None:
        """End what is streamed where it is, in order; the connection takes no more."""
        self.retire()
        if stream.streaming and not stream.ending:
            stream.ending = True
            stream.runner.task.cancel()

    def abort(self) -> None:
        """Drop the connection and whatever it is doing."""
        self._failed = True
        self._transport.abort()
        for task in self.tasks:
            task.cancel()

    def sweep(self, now: float, *, idle_s: float, read_s: float, stall_s: float) -> None:
        """End what has been silent for too long."""
        if self._sender.paused:
            self._sweep_stalled(now, stall_s)
            return
        for stream in self._sender.waiting:
            if now - stream.progress_tick > stall_s:
                self._reset(stream.id, ErrorCode.CANCEL)
        try:
            self._sweep_arriving(now, read_s)
        except ConnectionFault as fault:
            self._fail(fault)
        if not self.streams and now - self._active_tick > (idle_s if self._settled else read_s):
            self.retire()


class _Endless:
    """An answer that goes on until it is ended."""

    def __init__(self, connection: Http2Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream

    def end(self) -> None:
        """End it where it is, in order; its connection takes no more."""
        self._connection.end_stream(self._stream)


@lru_cache(maxsize=4)
def _date(text: str) -> bytes:
    return answers.date(text)


def _is_adequate(cipher: tuple[str, str, int] | None) -> bool:
    """Tell whether HTTP/2 may be spoken with it: of TLS 1.2 few ciphers are (RFC 9113, appendix A)."""
    name = cipher[0] if cipher is not None else ""
    return name.startswith(("TLS_", "ECDHE-", "DHE-")) and ("GCM" in name or "CHACHA20" in name)
