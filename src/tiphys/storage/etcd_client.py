"""Calls to an etcd cluster: channels to its members, failover, and what their errors mean.

Owns: which member is asked, retries of what may be retried, TLS. Refuses: deciding what an interrupted write
did; that is raised as ``Unsure`` and the store finds out. Called by ``storage.etcd``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from tiphys.apimachinery import tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.storage.base import FutureRevision, StoreError, StoreUnavailable, ValueTooLarge
from tiphys.storage.etcd_wire import RANGE, WATCH, response_class
from tiphys.wire.dial import Tunnel
from tiphys.wire.doorway import Doorway

log = logging.getLogger(__name__)

_TRY_S: Final = 2.0
_HEDGE_S: Final = 0.2
"""A read that takes longer is sent to another member, too."""
_PAUSE_S: Final = 0.1
_PORT: Final = 2379
_Settings = tuple[tuple[str, str | int], ...]
_RPC: Final = {"rpc.system": "grpc"}
_HAS_LEADER: Final = (("hasleader", "true"),)  # a member cut off from the others refuses at once
_OVERSIZE: Final = re.compile(r"(?<=larger than max )\(\d+ vs\. \d+\)")
_UNSENT: Final = ("failed to connect", "no leader", "too many requests")
_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED,
    }
)  # fmt: skip
_LATE: Final = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
"""What Go's client comes to, which goes on trying to connect until time is up."""


class Unsure(Exception):
    """A write was sent and its answer got lost: it may be done, or not, or be done yet."""


class History(Exception):
    """The member says that the revision asked for has been compacted."""


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """How to reach a cluster. Times in seconds, sizes in bytes."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout_s: float = 10.0
    through: Tunnel | None = None
    """The way to the members where it is not the network's own."""
    max_receive_bytes: int = 2**31 - 1
    max_send_bytes: int = 8 * 1024 * 1024


class EtcdClient:
    """One cluster behind several URLs; asks one member until it fails, then the next."""

    def __init__(self, endpoints: Sequence[str], options: EtcdOptions) -> None:
        if not endpoints:
            raise ValueError("an etcd store needs at least one URL")
        self._endpoints = [_target(url) for url in endpoints]
        self._options = options
        self._channels: list[Any] = []
        self._doorways: list[Doorway] = []
        self._current = 0
        self._watched = 0

    @property
    def timeout_s(self) -> float:
        """How long one call may take, all members together."""
        return self._options.timeout_s

    @property
    def members(self) -> int:
        """How many there are to ask."""
        return len(self._endpoints)

    @property
    def is_closed(self) -> bool:
        """Nobody can be asked any more (or yet)."""
        return not self._channels

    def open(self) -> None:
        """Make the channels (they connect when first used). Raises StoreUnavailable: unreadable files."""
        options = self._options
        settings: _Settings = (
            ("grpc.max_receive_message_length", options.max_receive_bytes),
            ("grpc.max_send_message_length", options.max_send_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        )
        for member, secure in self._endpoints:
            target, more = (member, settings) if options.through is None else self._led(member, settings)
            if secure:
                channel = grpc.aio.secure_channel(target, self._credentials(), options=more)
            else:
                channel = grpc.aio.insecure_channel(target, options=more)
            self._channels.append(channel)

    def _led(self, member: str, settings: _Settings) -> tuple[str, _Settings]:
        """Return what leads to a member through the tunnel, and the settings to which it is still itself."""
        assert self._options.through is not None
        host, _, port = member.rpartition(":") if ":" in member else (member, "", "")
        name = host.strip("[]")
        doorway = Doorway(self._options.through, name, int(port or _PORT))
        doorway.open()
        self._doorways.append(doorway)
        named = (("grpc.default_authority", member), ("grpc.ssl_target_name_override", name))
        return doorway.target, (*settings, *named)

    async def close(self) -> None:
        """Close the channels. Idempotent."""
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.close()
        doorways, self._doorways = self._doorways, []
        for doorway in doorways:
            await doorway.close()

    def _credentials(self) -> Any:
        def read(path: Path | None) -> bytes | None:
            try:
                return path.read_bytes() if path is not None else None
            except OSError as error:
                raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error

        options = self._options
        return grpc.ssl_channel_credentials(
            read(options.ca_file), read(options.key_file), read(options.cert_file)
        )

    def rotate(self) -> None:
        """Ask the next member from now on."""
        self._current = (self._current + 1) % len(self._endpoints)

    def leave_watched(self) -> None:
        """Ask another member than the one that was watched last."""
        if self._current == self._watched:
            self.rotate()

    async def call(self, method: str, request: Any, *, repeatable: bool = True) -> Any:
        """Call until a member answers or time is up.

        Args:
            repeatable: false for what must not be done twice; only what surely was not sent is tried again.

        Raises:
            Unsure: not repeatable, and the answer got lost.
            History, FutureRevision: the cluster's answer to a revision that it does not have.
            StoreUnavailable, ValueTooLarge, StoreError: nobody answered; or refused for good.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.timeout_s
        several = len(self._endpoints) > 1
        failed = 0
        while True:
            left = deadline - loop.time()
            try:
                if several and method == RANGE:
                    return await self._ask_two(method, request, min(_TRY_S, left))
                return await self._ask(self._current, method, request, min(_TRY_S, left) if several else left)
            except grpc.aio.AioRpcError as error:
                sent = _judge(error)
                if sent and not repeatable:
                    self.rotate()
                    raise Unsure(_text(error)) from error
                failure = error
            self.rotate()
            failed += 1
            if loop.time() + _PAUSE_S >= deadline:
                raise StoreUnavailable(f"etcd does not answer: {_text(failure)}") from failure
            if failed % len(self._endpoints) == 0:
                await asyncio.sleep(_PAUSE_S)

    async def _ask_two(self, method: str, request: Any, timeout_s: float) -> Any:
        """Ask a member, and the next one as well when the first takes long: who answers first is asked on.

        A member that is slow, not dead, costs one wait, not one for each read.
        """
        first, second = self._current, (self._current + 1) % len(self._endpoints)
        loop = asyncio.get_running_loop()
        asked = {loop.create_task(self._ask(first, method, request, timeout_s))}  # parent: this call
        try:
            done, waiting = await asyncio.wait(asked, timeout=_HEDGE_S)
            if not done:
                hedge = loop.create_task(self._ask(second, method, request, timeout_s))  # parent: this call
                asked.add(hedge)
                done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                if waiting and all(task.exception() for task in done):
                    done, waiting = await asyncio.wait(waiting)
                if hedge in done and not hedge.exception() and self._current == first:
                    log.warning("etcd member=%s is slow", self._endpoints[first][0])
                    self._current = second
            return next((task for task in done if not task.exception()), next(iter(done))).result()
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, member: int, method: str, request: Any, timeout_s: float) -> Any:
        if not self._channels:
            raise StoreUnavailable("the store is closed")
        call = self._channels[member].unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class(method).FromString,
        )
        with tracing.step(method[1:], _RPC, kind=tracing.CLIENT):
            return await call(request, timeout=timeout_s, metadata=_HAS_LEADER)

    async def ask_each(self, method: str, request: Any, timeout_s: float) -> list[str | None]:
        """Ask every member by itself, at once; return what is wrong with each."""

        async def ask(member: int) -> str | None:
            try:
                await self._ask(member, method, request, timeout_s)
            except grpc.aio.AioRpcError as error:
                return "context deadline exceeded" if error.code() in _LATE else _text(error)
            except StoreUnavailable as error:
                return str(error)
            return None

        return await asyncio.gather(*map(ask, range(len(self._endpoints))))

    async def watch(self, request: Any) -> Any:
        """Open one watch at the current member: a call to ``read`` responses from and to ``cancel``."""
        if not self._channels:
            raise StoreUnavailable("the store is closed")
        self._watched = self._current
        call = self._channels[self._current].stream_stream(
            WATCH,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class(WATCH).FromString,
        )(metadata=_HAS_LEADER)
        try:
            await call.write(request)
        except BaseException:
            call.cancel()
            raise
        return call


def _target(url: str) -> tuple[str, bool]:
    scheme, slashes, rest = url.strip().partition("://")
    if not slashes:
        scheme, rest = "http", scheme
    if scheme not in ("http", "https") or not rest.rstrip("/"):
        raise ValueError(f"not an etcd URL: {url!r}")
    return rest.rstrip("/"), scheme == "https"


def _text(error: grpc.aio.AioRpcError) -> str:
    return error.details() or str(error.code().name)


def _judge(error: grpc.aio.AioRpcError) -> bool:
    """Raise what is final. Returns whether the request may have reached a member."""
    code, text = error.code(), _text(error)
    if code is grpc.StatusCode.OUT_OF_RANGE:
        if "compacted" in text:
            raise History(text) from error
        raise FutureRevision(text) from error
    if code in _TRANSIENT or "too many requests" in text:
        return not any(phrase in text for phrase in _UNSENT)
    if "request is too large" in text:
        raise ValueTooLarge(text) from error
    if sizes := _OVERSIZE.search(text):
        # As Go's client says it, which measures before it sends.
        said = f"rpc error: code = ResourceExhausted desc = trying to send message larger than max {sizes[0]}"
        raise ValueTooLarge(said) from error
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
        raise StoreError(text) from error
    raise StoreUnavailable(text) from error
