"""One client connection: bytes in, requests to the handler in order, responses out.

Owns ordering, framing, backpressure and upgrades (``wire.reader`` owns the reading). Knows nothing of paths
or objects. ``wire.server`` makes one for every accepted socket.

A request is stepped by hand where its bytes arrive: a handler that never waits costs no task and no trip
through the loop. One that does wait goes on in the connection's own task (``stepping.Runner``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from tiphys.apimachinery.errors import BadRequest, StatusError
from tiphys.wire import http1
from tiphys.wire.measured import Measured
from tiphys.wire.message import Request, RequestLine, Response, with_value
from tiphys.wire.outlet import Outlet
from tiphys.wire.pieces import pieces
from tiphys.wire.reader import DISCARD, HELD, HTTP, MAX_HELD_BYTES, RAW, Job, Owner, RequestReader
from tiphys.wire.stalled import Stalling
from tiphys.wire.stepping import Runner, awaited, resume
from tiphys.wire.tls import RECORD_BYTES
from tiphys.wire.upgrade import RawStream

log = logging.getLogger(__name__)

MAX_PIPELINED: Final = 32
LINGER_S: Final = 1.0
BODILESS: Final = frozenset({204, 304})


class Connection(RequestReader, Stalling, asyncio.BufferedProtocol):
    """An HTTP/1.1 server connection.

    Bytes arrive in the server's one buffer and are copied out at once: plain protocols are handed a new
    buffer of 256 KiB for each read under TLS, twice a request.
    """

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner)
        self._loop = loop
        self._streaming = False
        self._lost = False
        self._ending = False
        self._raw: RawStream | None = None
        self._reading_paused = False
        # Writing.
        self._paused = False
        self._paused_tick = 0.0
        self._unsent = 0  # at the last sweep
        self._drain_waiters: list[asyncio.Future[None]] = []

    # -- transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        named = isinstance(peer, tuple) and peer
        self._peer, self._peer_port = (str(peer[0]), int(peer[1])) if named else ("", 0)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificates = self._owner.peers.shown(tls)
        self._tls = tls is not None
        self._runner = Runner(self._loop, self._go_on, self._ended)  # parent: Server, which ends it
        self._owner.connections.add(self)
        self._owner.timed.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._owner.connections.discard(self)
        self._owner.timed.discard(self)
        self._pending.clear()
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionResetError("the peer has gone"))
        if self._raw is not None:
            self._raw.feed_eof()
        self._fail_arrival(BadRequest("unexpected EOF"))
        if self._streaming or not self._busy:
            self._runner.task.cancel()

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.feed_eof()
            return not self._tls
        self._fail_arrival(BadRequest("unexpected EOF"))
        # A half-closed client still waits for its answer.
        return not (self._tls or self._streaming) and (self._busy or bool(self._pending))

    def pause_writing(self) -> None:
        self._paused = True
        self._paused_tick = self._owner.tick
        self._owner.timed.add(self)

    def resume_writing(self) -> None:
        self._paused = False
        if self._streaming or self._mode == RAW:
            self._owner.timed.discard(self)
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if not waiters:
            self._pump()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received(bytes(self._owner.buffer[:nbytes]))

    def _received(self, data: bytes) -> None:
        self._active_tick = self._owner.tick
        if self._mode == HTTP:
            line = self._known_line(data)
            if line is None:
                written = self._known_write(data)
                if written is None:
                    self._feed(data)
                else:
                    self._pending.append(Job(written, True))
            elif self._pending or self._busy or self._paused:
                self._pending.append(Job(self._known_request(line), True))
            else:
                if not self._answer_at_once(line):
                    self._step(Job(self._known_request(line), True))
                return
            self._pump()
        elif self._mode == RAW and self._raw is not None:
            self._raw.feed(data)
        elif self._mode == HELD:
            self._held.append(data)
            self._pump()

    # -- serving

    def _answer_at_once(self, line: RequestLine) -> bool:
        """Write the answer to a known request where the handler has it ready."""
        owner = self._owner
        if owner.at_once is None or self._ending:
            return False
        found = owner.at_once(self._block_memo, line)
        if found is None:
            return False
        known, value, body = found
        head = b"%b%b\r\nContent-Length: %d\r\nDate: %b\r\n\r\n" % (
            known.http1, value, len(body), owner.date_bytes,
        )  # fmt: skip
        self._write_whole(head, body)
        return True

    def _pump(self) -> None:
        """Serve what waits, by hand as far as that goes."""
        while self._pending and not self._busy and not self._paused:
            job = self._pending.popleft()
            if job.answer is None:
                self._step(job)
            else:
                self._respond(job.answer, job)
        if self._pending or self._held or self._reading_paused:
            self._balance_reading()

    def _balance_reading(self) -> None:
        """Read on only while what was read is being served."""
        full = len(self._pending) > MAX_PIPELINED or sum(map(len, self._held)) > MAX_HELD_BYTES
        if full is self._reading_paused or self._mode == RAW or self._transport.is_closing():
            return
        self._reading_paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _step(self, job: Job) -> None:
        """Run the handler up to where it first waits."""
        runner = self._runner
        try:
            begun = runner.step(self._owner.handler(job.request))
        except StopIteration as stop:
            response = stop.value
        except (Exception, asyncio.CancelledError) as error:
            response = failure(error, job.request)
        else:
            self._hand(self._finish(resume(*begun, runner.interrupts), job))
            return
        self._respond(response, job)

    def _respond(self, response: Response, job: Job) -> None:
        """Write a response that needs no waiting; leave any other to the driver."""
        if response.stream is not None or response.upgrade is not None or response.written is not None:
            self._hand(self._send(response, job))
        elif not self._lost:
            self._write(response, job)
            self._after(job)

    def _write(self, response: Response, job: Job) -> None:
        """Hand head and body to the transport, which keeps what the peer does not take yet: uncopied."""
        body, write = response.body, self._transport.write
        length = len(body) if isinstance(body, bytes) else sum(map(len, body))
        head = self._head(response, job, length)
        if job.request.method == "HEAD" or response.status in BODILESS:
            write(head)
        elif not isinstance(body, bytes):
            for piece in pieces(head, body):
                write(piece)
        else:
            self._write_whole(head, body)

    def _write_whole(self, head: bytes, body: bytes) -> None:
        if len(head) + len(body) <= RECORD_BYTES:
            self._transport.write(head + body)
        else:
            room = max(RECORD_BYTES - len(head), 0)
            self._transport.write(head + body[:room])
            self._transport.write(memoryview(body)[room:])

    def _head(self, response: Response, job: Job, length: int | None, *, chunked: bool = False) -> bytes:
        headers = response.headers
        if job.arrival is not None and not job.arrival.is_taken:
            job.keep_alive, job.linger, self._last = False, True, True
        if headers.get("connection") == "close":
            headers = {name: value for name, value in headers.items() if name != "connection"}
            job.keep_alive = False
        closing = self._closes(job)
        if job.http10 and not closing:
            headers = with_value(headers, "Connection", "keep-alive")
        if response.status in BODILESS:
            length = None
        return http1.encode_head(
            response.status, headers, length=length, closing=closing, date=self._owner.date, chunked=chunked
        )

    def _closes(self, job: Job) -> bool:
        return not job.keep_alive or self._ending

    def _after(self, job: Job) -> None:
        """Close or go on once a response is out."""
        if self._closes(job) or (self._last and not self._pending):
            self._mode = DISCARD
            self._pending.clear()
            self._body = bytearray()  # of one that nobody wanted
            if job.linger:
                self._linger()
            else:
                self._transport.close()
        elif job.upgradable:
            self._release_held()

    def _linger(self) -> None:
        """Let a client that is still sending read its refusal before the connection goes."""
        if self._transport.can_write_eof():
            with suppress(OSError):  # it has gone meanwhile
                self._transport.write_eof()
        self._loop.call_later(LINGER_S, self._transport.close)

    def _ask(self, *, told: bool) -> None:
        self._active_tick = self._owner.tick
        if told and not (self._lost or self._transport.is_closing()):
            self._transport.write(http1.CONTINUE)
            if self._reading_paused:
                self._reading_paused = False
                self._transport.resume_reading()

    # -- the driver: everything that waits

    def _hand(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = True
        self._runner.hand(work)

    async def _go_on(self, runner: Runner) -> None:
        """Serve what came while something waited."""
        while self._pending and not self._lost:
            await self._serve(self._pending.popleft())
        self._busy = False
        runner.last = self._lost
        if not self._lost:
            self._pump()

    def _ended(self, runner: Runner) -> None:
        if not self._lost:
            self._transport.close()

    async def _serve(self, job: Job) -> None:
        if job.answer is not None:
            await self._send(job.answer, job)
        else:
            await self._finish(awaited(self._owner.handler(job.request)), job)

    async def _finish(self, handling: Any, job: Job) -> None:
        try:
            response = await handling
        except asyncio.CancelledError:
            if self._runner.task.cancelling():
                raise
            response = http1.internal_error()
        except Exception as error:
            response = failure(error, job.request)
        await self._send(response, job)

    async def _send(self, response: Response, job: Job) -> None:
        try:
            if response.upgrade is not None:
                await self._send_upgrade(response, job)
                return
            if response.stream is not None:
                await self._send_stream(response, response.stream, job)
            else:
                await self._send_body(response, job)
            if not self._lost:
                self._after(job)
        except ConnectionError:
            self._transport.abort()

    async def _send_body(self, response: Response, job: Job) -> None:
        try:
            if not self._lost:
                self._write(response, job)
                await self.drain()
        finally:
            if response.written is not None:
                response.written()

    async def _send_stream(self, response: Response, stream: AsyncIterator[bytes], job: Job) -> None:
        measured = None
        if response.length is not None:
            measured = stream = Measured(stream, response.length, job.request.path)
        bodiless = job.request.method == "HEAD" or response.status in BODILESS
        chunked = not (job.http10 or bodiless or measured is not None)
        job.keep_alive = job.keep_alive and (chunked or bodiless or measured is not None)
        whole = False
        self._streaming = True
        self._owner.timed.discard(self)
        try:
            if self._lost or self._ending:
                return
            self._transport.write(self._head(response, job, response.length, chunked=chunked))
            if bodiless:
                whole = True
                return
            attach = getattr(stream, "attach", None)
            if attach is not None and chunked:
                attach(Outlet(self._transport, self._takes_more, self._owner.framed))
            async for chunk in stream:
                if self._lost:
                    return
                if chunk:
                    self._transport.write(self._owner.framed(chunk) if chunked else chunk)
                chunk = b""  # an idle stream keeps nothing of what it sent
                if self._paused:
                    await self.drain()
            whole = True
        except asyncio.CancelledError:
            if not (self._lost or self._ending):
                raise
            self._runner.task.uncancel()
            whole = measured is None or measured.is_whole
        except ConnectionError:
            pass
        except Exception:
            log.exception("stream failed path=%s", job.request.path)
        finally:
            self._streaming = False
            await close_stream(stream)
            if not self._lost:
                self._owner.timed.add(self)
                if not whole:
                    self._transport.abort()  # not as if it were whole: the client sees that it was cut
                elif chunked:
                    self._transport.write(http1.LAST_CHUNK)

    def _takes_more(self) -> bool:
        """Tell whether chunks of the running stream may be written past its task."""
        return not (self._paused or self._lost or self._ending) and self._streaming

    async def _send_upgrade(self, response: Response, job: Job) -> None:
        if not job.upgradable:
            log.error("upgrade without the client asking path=%s", job.request.path)
            self._transport.abort()
            return
        raw = self._raw = RawStream(self._transport, self.drain)
        held, self._held = self._held, []
        self._mode = RAW
        self._owner.timed.discard(self)
        if self._lost:
            raw.feed_eof()
        else:
            self._transport.write(http1.encode_switch(response.headers))
            if self._reading_paused and not self._transport.is_closing():
                self._transport.resume_reading()
        for data in held:
            raw.feed(data)
        assert response.upgrade is not None
        try:
            await response.upgrade(raw)
        except ConnectionError:
            pass
        except Exception:
            log.exception("upgraded connection failed path=%s", job.request.path)
        finally:
            self._mode = DISCARD
            await raw.close()

    async def drain(self) -> None:
        """Wait while the peer is slow. Raises ConnectionResetError when it is gone."""
        if self._lost:
            raise ConnectionResetError("the peer has gone")
        if self._paused:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    # -- the server's side

    @property
    def tasks(self) -> Sequence[asyncio.Future[None]]:
        """What this connection does."""
        return (self._runner.task,)

    @property
    def endless(self) -> Sequence[Connection]:
        """What is to be ended so that answers end that have no end of their own."""
        return (self,) if self._streaming else ()

    def retire(self) -> None:
        """Take no more requests, and close when what goes on has ended; streams and upgrades last."""
        if not (self._streaming or self._mode == RAW):
            self.end()

    def end(self) -> None:
        """Stop gracefully: close when idle, end a stream, let a request finish."""
        self._ending = True
        if self._raw is not None:
            self._raw.feed_eof()
            self._transport.close()
        elif self._streaming:
            self._runner.task.cancel()
        elif not (self._busy or self._pending):
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection and whatever it is doing."""
        self._transport.abort()
        self._runner.task.cancel()

    def sweep(self, now: float, *, idle_s: float, read_s: float, stall_s: float) -> None:
        """Close what has been silent for too long."""
        if self._paused:
            self._sweep_stalled(now, stall_s)
        elif self._busy or self._mode == RAW:
            return  # who wants a body says how long it may take
        elif self._look_at_slow(now):
            self._pump()
        elif now - self._active_tick > (read_s if self._in_message else idle_s) or (
            self._partial and now - self._begun_tick > read_s  # however steadily it trickles
        ):
            self._transport.close()


def failure(error: BaseException, request: Request) -> Response:
    """Turn what a handler raised into its answer."""
    if isinstance(error, StatusError):
        return http1.error_response(error)
    log.error("handler failed method=%s path=%s", request.method, request.path, exc_info=error)
    return http1.internal_error()


async def close_stream(stream: AsyncIterator[bytes]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception:
            log.exception("closing a stream failed")
